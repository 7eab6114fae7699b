//! SIP legs: what the endpoint says becomes inputs, what the switchboard wants becomes commands.
//!
//! Media is ordered before the message that tells the far side so. An independent count of who
//! has which call stands here, where the legs are made: the promise of the switchboard is checked
//! by somebody who does not share its tables.

use super::{
    codecs::{self, Codecs},
    dtmf::{Keys, Ways},
    keys::{self, Wishes},
    media::MediaLegs,
};
use crate::{
    config::{self, Dtmf, Plan},
    fact::Side,
    ids::{CallId, OfferId, SeatId},
    seats::SeatClaim,
    switchboard::{Input, Media, Output},
};
use media_core::order::{self, Digit, LegName, Order, PortName, Remote};
use sip_stack::{
    Endpoint,
    event::{Event, HangUp, Invite, Place, Refusal, Source, Target},
    flow::Far,
    ids::{LegId, NetworkId, TrunkId, UserId},
    sdp::{
        self,
        answer::{self, Agreed, Allowed, Local, NoAnswer},
        codec::Codec,
        crypto::Suite,
        passed::Passed,
        secure::{Security, Srtp},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

/// All SIP legs, by the endpoint's own names.
pub(crate) struct SipLegs {
    /// The address our session descriptions name, by network.
    media_addresses: Vec<IpAddr>,
    codecs: Codecs,
    /// Whose audio is to be encrypted.
    wishes: Wishes,
    ways: Ways,
    opus_complexity: u8,
    legs: BTreeMap<LegId, SipLeg>,
    engaged: BTreeMap<Whose, Engaged>,
    double_claims: u64,
}

struct SipLeg {
    /// What may be agreed with it, as long as it is there.
    allowed: Allowed,
    port: Option<PortName>,
    /// Where its far side is, signalling and media.
    network: NetworkId,
    session_id: u64,
    /// Version of our session description; grows with each answer (RFC 3264 §8).
    version: u64,
    /// Our side of what was agreed, for the 200 and for an offerless re-INVITE.
    local_sdp: Vec<u8>,
    agreed: Option<Agreed>,
    /// What it has said itself of what passes through; `allowed` has what the other side has.
    said: Option<Passed>,
    /// The codec the media plane has it connected with.
    connected: Option<order::Codec>,
    /// The media plane sends it comfort noise.
    comforted: bool,
    /// What is wanted of it, and our keys.
    security: Security,
    /// The suite under which the media plane has its keys.
    secured: Option<Suite>,
    /// A caller's offer, until the call is taken.
    offer: Option<sdp::Session>,
    /// Where its signalling comes from.
    from: Option<SocketAddr>,
    /// The agent whose phone called.
    seat: Option<SeatId>,
    /// Who has no other call as long as this leg is there, once it is engaged.
    whose: Vec<Whose>,
    engaged: bool,
    call: Option<CallId>,
    /// How its keys go, and what the media plane knows of that.
    dtmf: Dtmf,
    masked: bool,
    keys: Keys,
}

/// What has one call at most: an agent, and a telephone whoever's it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Phone(Place),
    Seat(SeatId),
}

/// What an agent or a telephone has, counted leg by leg.
struct Engaged {
    call: CallId,
    grant: u64,
    legs: BTreeSet<LegId>,
}

/// What an offer is dialled with.
pub(crate) struct Dial<'a> {
    pub(crate) offer: OfferId,
    pub(crate) call: CallId,
    pub(crate) from: &'a str,
    pub(crate) from_display: Option<&'a str>,
    pub(crate) number: &'a str,
    pub(crate) max_forwards: u8,
    /// Its keys are written nowhere.
    pub(crate) masked: bool,
    /// What the call passes through in; `None`: it is spoken here.
    pub(crate) passes: Option<Codec>,
}

/// Whom a leg is dialled as.
struct How {
    trunk: Option<TrunkId>,
    allowed: Allowed,
    srtp: Srtp,
    dtmf: Dtmf,
    side: Side,
}

impl SipLegs {
    pub(crate) fn new(media_addresses: Vec<IpAddr>, opus_complexity: u8, plan: &Plan) -> Self {
        Self {
            media_addresses,
            codecs: Codecs::of(plan),
            wishes: Wishes::of(plan),
            ways: Ways::of(plan),
            opus_complexity,
            legs: BTreeMap::new(),
            engaged: BTreeMap::new(),
            double_claims: 0,
        }
    }

    /// What may be agreed with legs that come from now on; one that is there keeps what it began
    /// with.
    pub(crate) fn reconfigure(&mut self, plan: &Plan) {
        self.codecs = Codecs::of(plan);
        self.wishes = Wishes::of(plan);
        self.ways = Ways::of(plan);
    }

    /// What is pressed there is written nowhere.
    pub(crate) fn masks(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|leg| leg.masked)
    }

    /// One thing the endpoint said; `None`: nothing for the switchboard.
    pub(crate) fn handle_event(
        &mut self,
        event: Event,
        endpoint: &mut Endpoint,
        media: &mut MediaLegs,
        now: Instant,
    ) -> Option<Input> {
        match event {
            Event::Invited {
                leg,
                source,
                from,
                from_user,
                from_display,
                to_user,
                sip_call_id,
                max_forwards,
                offer,
            } => {
                let from = Far { network: endpoint.network(leg), address: from };
                let could = self.prepare(leg, source, from, offer.as_ref(), media, now);
                Some(Input::Arrived {
                    leg,
                    source,
                    from: from_user,
                    from_display,
                    number: to_user,
                    sip_call_id,
                    max_forwards,
                    media: could,
                })
            }
            Event::Ringing { leg, early: _ } => Some(Input::LegRinging(leg)),
            Event::Answered { leg, from, answer } => {
                self.answered(leg, from, &answer, endpoint, media, now)
            }
            Event::Established { leg, answer } => {
                self.established(leg, answer.as_ref(), endpoint, media, now);
                None
            }
            Event::Reoffered { leg, from, offer } => {
                self.reoffered(leg, from, offer.as_ref(), endpoint, media, now);
                None
            }
            Event::Checked { leg: _ } => None,
            // Into the media plane: there one press is one key, however it came.
            Event::Pressed { leg, press } => {
                let digit =
                    Digit::try_from(press.key).ok().filter(|_| media.is_open(LegName(leg.0)));
                if let Some(digit) = digit {
                    let (leg, duration) = (LegName(leg.0), press.duration);
                    media.order(Order::Pressed { leg, digit, duration });
                }
                None
            }
            Event::Left { leg, cause } => Some(Input::LegLeft { leg, cause }),
            Event::Ended { leg, cause } => Some(Input::LegEnded { leg, cause }),
            Event::Registered { user, contacts: _ } => Some(Input::SignedIn(SeatId(user.0))),
            Event::Unregistered { user } => Some(Input::SignedOut(SeatId(user.0))),
            // The exchange has taken it.
            Event::Probed { .. } => None,
        }
    }

    /// Legs of the process before that may still have this seat's phones; no media of ours is theirs.
    pub(crate) fn take_up(&mut self, claim: &SeatClaim, call: CallId, legs: &[LegId]) {
        let phones = claim.phones().iter().cloned().map(Whose::Phone);
        let whose: Vec<_> = phones.chain(claim.seat().map(Whose::Seat)).collect();
        for &leg in legs {
            let orphan = SipLeg {
                allowed: Allowed {
                    codecs: vec![],
                    telephone_event: false,
                    comfort_noise: false,
                    passed: vec![],
                },
                port: None,
                network: NetworkId::FIRST,
                session_id: 0,
                version: 1,
                local_sdp: Vec::new(),
                agreed: None,
                said: None,
                connected: None,
                comforted: false,
                security: Security::OFF,
                secured: None,
                offer: None,
                from: None,
                seat: claim.seat(),
                whose: vec![],
                engaged: false,
                call: Some(call),
                dtmf: Dtmf::Auto,
                masked: false,
                keys: Keys::UNSAID,
            };
            self.legs.insert(leg, orphan);
            self.engage(&whose, call, claim.grant(), leg);
        }
    }

    /// A leg is gone: called after the switchboard has heard of it.
    pub(crate) fn forget(&mut self, leg: LegId, media: &mut MediaLegs) {
        media.close(LegName(leg.0));
        self.legs.remove(&leg);
    }

    /// A leg has ended, says the endpoint: its phone has nothing left of it.
    pub(crate) fn leave_seat(&mut self, leg: LegId) {
        let Some(left) = self.legs.get_mut(&leg).filter(|leg| leg.engaged) else { return };
        left.engaged = false;
        for whose in std::mem::take(&mut left.whose) {
            if let Some(engaged) = self.engaged.get_mut(&whose) {
                engaged.legs.remove(&leg);
                if engaged.legs.is_empty() {
                    self.engaged.remove(&whose);
                }
            }
        }
    }

    /// Port and answer for a caller, before anything is promised to them.
    fn prepare(
        &mut self,
        leg: LegId,
        source: Source,
        Far { network, address: from }: Far,
        offer: Option<&sdp::Session>,
        media: &mut MediaLegs,
        now: Instant,
    ) -> Media {
        let seat = match source {
            Source::Phone(user) => Some(SeatId(user.0)),
            Source::Trunk(_) => None,
        };
        let dtmf = self.ways.source(source);
        let mut allowed = self.codecs.allowed(source);
        allowed.telephone_event &= dtmf.offers_events();
        let mut sip_leg = SipLeg {
            allowed,
            port: None,
            network,
            session_id: media.session_id(),
            version: 1,
            local_sdp: Vec::new(),
            agreed: None,
            said: None,
            connected: None,
            comforted: false,
            security: media.security(self.wishes.source(source)),
            secured: None,
            offer: None,
            from: Some(from),
            seat,
            whose: vec![],
            engaged: false,
            call: None,
            dtmf,
            masked: false,
            keys: Keys::UNSAID,
        };
        let could = match offer.map(|offer| self.agree(offer, 1, &sip_leg)) {
            None | Some(Ok(_)) if !media.has_port_for_caller(network, now) => Media::NoPorts,
            None => Media::Agreed,
            Some(Ok((_, agreed))) => {
                sip_leg.agreed = Some(agreed);
                Media::Agreed
            }
            Some(Err(no)) => {
                let offered =
                    offer.map(|offer| (offer, Passed::offered(offer, self.codecs.passed(source))));
                let none_in_common = matches!(no, NoAnswer::NoCommonCodec { .. });
                match offered.filter(|(_, passed)| none_in_common && !passed.is_empty()) {
                    Some(_) if !media.has_port_for_caller(network, now) => Media::NoPorts,
                    Some((offer, passed)) => self.could_pass(offer, passed, &mut sip_leg, &no),
                    None => Media::NoCodec { code: no.warning(), text: no.to_string() },
                }
            }
        };
        sip_leg.offer = offer.cloned();
        self.legs.insert(leg, sip_leg);
        could
    }

    /// Nothing of it is spoken here; somebody who speaks the same may be called.
    fn could_pass(
        &self,
        offer: &sdp::Session,
        passed: Vec<Passed>,
        leg: &mut SipLeg,
        no: &NoAnswer,
    ) -> Media {
        let mut also: Vec<_> = passed.iter().map(|passed| passed.codec).collect();
        leg.allowed.passed = passed;
        match self.agree(offer, 1, leg) {
            Ok((_, Agreed { codec, .. })) => {
                also.retain(|other| *other != codec);
                also.dedup();
                Media::Passes { codec, also, code: no.warning(), text: no.to_string() }
            }
            Err(no) => {
                leg.allowed.passed.clear();
                Media::NoCodec { code: no.warning(), text: no.to_string() }
            }
        }
    }

    /// The call is taken: it gets the port that was there when it was looked at, and an agent who
    /// calls has no other call on any telephone that is theirs now.
    pub(crate) fn admit(
        &mut self,
        leg: LegId,
        call: CallId,
        masked: bool,
        endpoint: &Endpoint,
        media: &mut MediaLegs,
        now: Instant,
    ) {
        let Some(mut sip_leg) = self.legs.remove(&leg) else { return };
        (sip_leg.call, sip_leg.masked) = (Some(call), masked);
        if let Some(seat) = sip_leg.seat {
            sip_leg.whose = everything_of(seat, &endpoint.contacts(UserId(seat.0)));
        }
        sip_leg.port = media.take_port_for_caller(sip_leg.network, now);
        if let Some(port) = sip_leg.port {
            media.open(LegName(leg.0), (sip_leg.network, port), call, Side::Caller);
        }
        // What passes through is answered once the other side has.
        if let Some(port) = sip_leg.port.filter(|_| sip_leg.allowed.passed.is_empty()) {
            let made = sip_leg.offer.take().map(|offer| self.agree(&offer, port.0, &sip_leg));
            sip_leg.local_sdp = match made {
                Some(Ok((local_sdp, _))) => local_sdp,
                Some(Err(_)) | None => {
                    let local = self.local(sip_leg.network, sip_leg.session_id, port.0, 1);
                    answer::offer_secured(&sip_leg.allowed, &sip_leg.security, local)
                }
            };
        }
        self.legs.insert(leg, sip_leg);
    }

    /// Our answer to a caller's offer, if there is one.
    fn agree(
        &self,
        offer: &sdp::Session,
        port: u16,
        leg: &SipLeg,
    ) -> Result<(Vec<u8>, Agreed), NoAnswer> {
        let local = self.local(leg.network, leg.session_id, port, 1);
        answer::answer_secured(offer, &leg.allowed, &leg.security, local)
    }

    fn answered(
        &mut self,
        leg: LegId,
        from: SocketAddr,
        answer: &sdp::Session,
        endpoint: &mut Endpoint,
        media: &mut MediaLegs,
        now: Instant,
    ) -> Option<Input> {
        if let Some(sip_leg) = self.legs.get_mut(&leg) {
            sip_leg.from = Some(from);
            match answer::accept_secured(answer, &sip_leg.allowed, &sip_leg.security) {
                Ok(agreed) => {
                    sip_leg.agreed = Some(agreed);
                    if !sip_leg.allowed.passed.is_empty() && !self.pass(leg, answer, &agreed) {
                        endpoint.hang_up(leg, HangUp::Failed, now);
                        let why = format!("{}, as the caller did not offer it", agreed.codec);
                        return Some(Input::LegUnfit { leg, why });
                    }
                    self.connect(leg, media);
                }
                Err(no @ (NoAnswer::NoAudio | NoAnswer::NoCommonCodec { .. }))
                    if !sip_leg.allowed.passed.is_empty() =>
                {
                    endpoint.hang_up(leg, HangUp::Failed, now);
                    return Some(Input::LegUnfit { leg, why: no.to_string() });
                }
                // Its end will be told like any other; until then it is no answer.
                Err(_) => {
                    endpoint.hang_up(leg, HangUp::Failed, now);
                    return None;
                }
            }
        }
        Some(Input::LegAnswered(leg))
    }

    /// The ACK brought the answer to the offer in our 200.
    fn established(
        &mut self,
        leg: LegId,
        answer: Option<&sdp::Session>,
        endpoint: &mut Endpoint,
        media: &mut MediaLegs,
        now: Instant,
    ) {
        let Some(sip_leg) = self.legs.get_mut(&leg) else { return };
        if sip_leg.agreed.is_some() {
            return;
        }
        let security = sip_leg.offers();
        let agreed = answer.map(|answer| {
            let agreed = answer::accept_secured(answer, &sip_leg.allowed, &security)?;
            sip_leg.goes_on(answer, &agreed).map(|()| agreed)
        });
        match agreed {
            Some(Ok(agreed)) => {
                sip_leg.agreed = Some(agreed);
                self.connect(leg, media);
            }
            Some(Err(_)) | None => endpoint.hang_up(leg, HangUp::Failed, now),
        }
    }

    /// The far side moves, holds or asks what we speak; nobody else hears of it.
    fn reoffered(
        &mut self,
        leg: LegId,
        from: SocketAddr,
        offer: Option<&sdp::Session>,
        endpoint: &mut Endpoint,
        media: &mut MediaLegs,
        now: Instant,
    ) {
        let Some(sip_leg) = self.legs.get(&leg) else { return };
        let (Some(port), version) = (sip_leg.port, sip_leg.version + 1) else { return };
        let local = self.local(sip_leg.network, sip_leg.session_id, port.0, version);
        let mut security = sip_leg.security;
        let made = match offer {
            None => {
                let (allowed, agreed) = (&sip_leg.allowed, sip_leg.agreed);
                let offered =
                    answer::offer_again(allowed, agreed.as_ref(), &sip_leg.offers(), local);
                Ok((offered, agreed))
            }
            Some(offer) => {
                let allowed = &sip_leg.allowed;
                let make =
                    |security: &Security| answer::answer_secured(offer, allowed, security, local);
                let mut made = make(&security);
                // Whose key is a new one begins anew; so do we, and both count from nothing.
                if made.as_ref().is_ok_and(|(_, agreed)| sip_leg.is_rekeyed_by(agreed)) {
                    security = media.security(security.srtp);
                    made = make(&security);
                }
                made.and_then(|(local_sdp, agreed)| {
                    sip_leg.goes_on(offer, &agreed).map(|()| (local_sdp, Some(agreed)))
                })
            }
        };
        match made {
            Ok((local_sdp, agreed)) => {
                if let Some(sip_leg) = self.legs.get_mut(&leg) {
                    sip_leg.security = security;
                    sip_leg.version = version;
                    sip_leg.local_sdp.clone_from(&local_sdp);
                    sip_leg.from = Some(from);
                    // An offerless re-INVITE is answered by the ACK.
                    sip_leg.agreed = agreed.filter(|_| offer.is_some());
                }
                if offer.is_some() {
                    self.connect(leg, media);
                }
                endpoint.answer_reoffer(leg, Ok(local_sdp), now);
            }
            Err(no) => {
                let warning = Some((no.warning(), no.to_string()));
                let refusal = Refusal { status: 488, retry_after_seconds: None, warning };
                endpoint.answer_reoffer(leg, Err(refusal), now);
            }
        }
    }

    /// Carries out one output; what it brings about at once comes back as an input.
    pub(crate) fn carry_out(
        &mut self,
        output: Output,
        endpoint: &mut Endpoint,
        media: &mut MediaLegs,
        now: Instant,
    ) {
        match output {
            Output::Answer { leg } => {
                if let Some(local_sdp) = self.let_in(leg, endpoint, media, now) {
                    endpoint.answer(leg, local_sdp, now);
                }
            }
            Output::Progress { leg } => {
                if let Some(local_sdp) = self.let_in(leg, endpoint, media, now) {
                    endpoint.progress(leg, local_sdp, now);
                }
            }
            Output::Check { leg } => endpoint.check(leg, now),
            Output::HangUp { leg, why } => {
                media.close(LegName(leg.0));
                endpoint.hang_up(leg, why, now);
            }
            Output::Refuse { leg, status, retry_after_seconds, warning } => {
                media.close(LegName(leg.0));
                endpoint.refuse(leg, Refusal { status, retry_after_seconds, warning }, now);
            }
            Output::Ring { leg } => {
                if self.may_come_in(leg, endpoint, media, now) {
                    endpoint.ring(leg, now);
                }
            }
            Output::Bridge { .. }
            | Output::DialSeat { .. }
            | Output::DialTrunk { .. }
            | Output::EndMedia { .. }
            | Output::Hear { .. }
            | Output::Part { .. }
            | Output::Play { .. }
            | Output::RecordPause { .. }
            | Output::RecordResume { .. } => {
                debug_assert!(false, "the exchange carries out {output:?} itself");
            }
        }
    }

    /// Rings every phone of an agent under one claim.
    pub(crate) fn dial_seat(
        &mut self,
        dial: &Dial<'_>,
        seat: SeatId,
        grant: u64,
        endpoint: &mut Endpoint,
        media: &mut MediaLegs,
        now: Instant,
    ) -> Input {
        let mut legs = Vec::new();
        let targets = endpoint.contacts(UserId(seat.0));
        let whose = everything_of(seat, &targets);
        if self.may_engage(&whose, dial.call, grant) {
            let allowed = self.codecs.allowed_for_seat(seat.0);
            let allowed = self.as_the_caller(allowed, dial);
            for target in targets {
                let of = [Whose::Seat(seat), Whose::Phone(target.place())];
                let (allowed, dtmf) = (allowed.clone(), self.ways.seat(seat));
                let srtp = self.wishes.seat(seat);
                let how = How { trunk: None, allowed, srtp, dtmf, side: Side::Agent };
                let made = self.dial(dial, target, how, endpoint, media, now);
                if let Some(leg) = made {
                    self.engage(&of, dial.call, grant, leg);
                    legs.push(leg);
                }
            }
        }
        Input::Dialled { offer: dial.offer, legs }
    }

    pub(crate) fn dial_trunk(
        &mut self,
        dial: &Dial<'_>,
        trunk: TrunkId,
        plan: &Plan,
        endpoint: &mut Endpoint,
        media: &mut MediaLegs,
        now: Instant,
    ) -> Input {
        let flow = plan.trunks.get(usize::from(trunk.0)).and_then(config::Trunk::flow);
        let leg = flow.and_then(|to| {
            let by = if to.is_reliable() { ";transport=tcp" } else { "" };
            let target = Target { uri: format!("sip:{}@{}{by}", dial.number, to.remote), to };
            let allowed = self.codecs.allowed_for_trunk(trunk);
            let allowed = self.as_the_caller(allowed, dial);
            let (srtp, dtmf) = (self.wishes.trunk(trunk), self.ways.trunk(trunk));
            let how = How { trunk: Some(trunk), allowed, srtp, dtmf, side: Side::Callee };
            self.dial(dial, target, how, endpoint, media, now)
        });
        Input::Dialled { offer: dial.offer, legs: leg.into_iter().collect() }
    }

    fn dial(
        &mut self,
        dial: &Dial<'_>,
        target: Target,
        how: How,
        endpoint: &mut Endpoint,
        media: &mut MediaLegs,
        now: Instant,
    ) -> Option<LegId> {
        let network = target.to.network;
        let port = media.take_port(network, now)?;
        let session_id = media.session_id();
        let How { trunk, mut allowed, srtp, dtmf, side } = how;
        allowed.telephone_event &= dtmf.offers_events();
        let security = media.security(srtp);
        let local = self.local(network, session_id, port.0, 1);
        let local_sdp = answer::offer_secured(&allowed, &security, local);
        let invite = Invite {
            target,
            trunk,
            from_user: dial.from.to_owned(),
            from_display: dial.from_display.map(str::to_owned),
            to_user: dial.number.to_owned(),
            offer: local_sdp.clone(),
            max_forwards: dial.max_forwards,
            call_name: Some(dial.call.to_string()),
        };
        let leg = endpoint.invite(invite, now);
        media.open(LegName(leg.0), (network, port), dial.call, side);
        self.legs.insert(
            leg,
            SipLeg {
                allowed,
                port: Some(port),
                network,
                session_id,
                version: 1,
                local_sdp,
                agreed: None,
                said: None,
                connected: None,
                comforted: false,
                security,
                secured: None,
                offer: None,
                from: None,
                seat: None,
                whose: vec![],
                engaged: false,
                call: Some(dial.call),
                dtmf,
                masked: dial.masked,
                keys: Keys::UNSAID,
            },
        );
        Some(leg)
    }

    pub(crate) fn double_claims(&self) -> u64 {
        self.double_claims
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.legs.is_empty() && self.engaged.is_empty()
    }

    /// What the caller has agreed on is offered first; what must pass through alone.
    fn as_the_caller(&self, allowed: Allowed, dial: &Dial<'_>) -> Allowed {
        let forms = self.passed_in(dial.call).iter();
        let passed = forms.filter(|form| Some(form.codec) == dial.passes).cloned().collect();
        Allowed { passed, ..codecs::prefer(allowed, self.codec_of(dial.call)) }
    }

    /// What this call may pass through in, as its caller has said it.
    fn passed_in(&self, call: CallId) -> &[Passed] {
        let mut legs = self.legs.values().filter(|leg| leg.call == Some(call));
        legs.find(|leg| !leg.allowed.passed.is_empty()).map_or(&[], |leg| &leg.allowed.passed)
    }

    /// Nobody here speaks or hears in this call.
    pub(crate) fn passes(&self, call: CallId) -> bool {
        !self.passed_in(call).is_empty()
    }

    /// The other side has answered in what passes through: the caller is answered in the same, and with its
    /// parameters. False: that cannot be.
    fn pass(&mut self, leg: LegId, answer: &sdp::Session, agreed: &Agreed) -> bool {
        let Some(theirs) = Passed::agreed(answer, agreed) else { return false };
        let Some(callee) = self.legs.get_mut(&leg) else { return false };
        let call = callee.call;
        callee.allowed.passed.retain(|form| form.fits(&theirs));
        let Some(form) = callee.allowed.passed.first().cloned() else { return false };
        callee.said = Some(theirs.clone());
        let waits = |leg: &SipLeg| {
            leg.call == call && !leg.allowed.passed.is_empty() && leg.offer.is_some()
        };
        // If nobody waits another phone was quicker, and the switchboard says so.
        let Some(caller) = self.legs.iter().find(|(_, leg)| waits(leg)).map(|(id, _)| *id) else {
            return true;
        };
        let Some(mut caller_leg) = self.legs.remove(&caller) else { return false };
        caller_leg.allowed.passed = vec![theirs];
        caller_leg.said = Some(form);
        let offer = caller_leg.offer.take().zip(caller_leg.port);
        let made = offer.and_then(|(offer, port)| self.agree(&offer, port.0, &caller_leg).ok());
        let fine = made.is_some();
        if let Some((local_sdp, agreed)) = made {
            caller_leg.local_sdp = local_sdp;
            caller_leg.agreed = Some(agreed);
        }
        self.legs.insert(caller, caller_leg);
        fine
    }

    /// What the caller of this call speaks.
    fn codec_of(&self, call: CallId) -> Option<Codec> {
        let mut legs = self.legs.values().filter(|leg| leg.call == Some(call));
        legs.find_map(|leg| leg.agreed).map(|agreed| agreed.codec)
    }

    /// Tells the media plane where the far side listens. Before the 200, never after it.
    fn connect(&mut self, leg: LegId, media: &mut MediaLegs) {
        let Some(sip_leg) = self.legs.get_mut(&leg) else { return };
        let (Some(agreed), Some(from)) = (sip_leg.agreed, sip_leg.from) else { return };
        if !media.is_open(LegName(leg.0)) {
            return; // Closed meanwhile: a late answer hears nobody.
        }
        let keys = agreed.srtp.as_ref().map(keys::keys);
        if keys == Some(None) {
            return;
        }
        let keys = keys.flatten();
        if keys.is_some() || sip_leg.secured.is_some() {
            media.order(Order::Secure { leg: LegName(leg.0), keys });
        }
        sip_leg.secured = agreed.srtp.map(|secured| secured.ours.key.suite());
        let codec = codecs::codec(&agreed, self.opus_complexity);
        let (rtp, rtcp) = (agreed.remote_rtp, agreed.remote_rtcp);
        let remote = Remote { rtp, rtcp, signalling: from.ip() };
        let Agreed { telephone_event, sends, receives, .. } = agreed;
        // A coder costs up to half a millisecond of whoever makes it, and forgets what it has come to.
        let goes_on = sip_leg.connected.replace(codec) == Some(codec);
        let leg_name = LegName(leg.0);
        media.order(if goes_on {
            Order::Renew { leg: leg_name, remote, telephone_event, sends, receives }
        } else {
            Order::Connect { leg: leg_name, remote, codec, telephone_event, sends, receives }
        });
        if agreed.comfort_noise != sip_leg.comforted {
            sip_leg.comforted = agreed.comfort_noise;
            media.order(Order::Comfort { leg: leg_name, sends: agreed.comfort_noise });
        }
        media.order(Order::Rate { leg: LegName(leg.0), tells: agreed.voip_metrics });
        let events = agreed.telephone_event.is_some();
        let Some(sip_leg) = self.legs.get_mut(&leg) else { return };
        let keys = Keys::of(sip_leg.dtmf, events, sip_leg.masked);
        if keys != sip_leg.keys {
            sip_leg.keys = keys;
            media.order(keys.order(LegName(leg.0)));
        }
    }

    /// The media plane has not done what it was told: what it was connected with is not known any more.
    pub(crate) fn refused(&mut self, leg: LegId) {
        if let Some(sip_leg) = self.legs.get_mut(&leg) {
            sip_leg.connected = None;
        }
    }

    /// A leg has a port only in a network that is there.
    fn local(&self, network: NetworkId, session_id: u64, rtp_port: u16, version: u64) -> Local {
        let addr = self.media_addresses.get(usize::from(network.0)).copied();
        let addr = addr.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Local { addr, rtp_port, session_id, version }
    }

    /// Media is ready before the caller hears so; gives our session description.
    fn let_in(
        &mut self,
        leg: LegId,
        endpoint: &mut Endpoint,
        media: &mut MediaLegs,
        now: Instant,
    ) -> Option<Vec<u8>> {
        if !self.may_come_in(leg, endpoint, media, now) {
            return None;
        }
        self.connect(leg, media);
        self.legs.get(&leg).map(|leg| leg.local_sdp.clone())
    }

    /// A caller who is an agent is on their own seat's phones from here on. If these have another
    /// call, which the switchboard should have known, this one is refused.
    fn may_come_in(
        &mut self,
        leg: LegId,
        endpoint: &mut Endpoint,
        media: &mut MediaLegs,
        now: Instant,
    ) -> bool {
        let agent = self.legs.get(&leg).filter(|leg| leg.seat.is_some() && !leg.engaged);
        let Some((call, whose)) = agent.and_then(|leg| Some((leg.call?, leg.whose.clone()))) else {
            return true;
        };
        if !self.may_engage(&whose, call, u64::MAX) {
            media.close(LegName(leg.0));
            let refusal = Refusal { status: 486, retry_after_seconds: None, warning: None };
            endpoint.refuse(leg, refusal, now);
            return false;
        }
        self.engage(&whose, call, 0, leg);
        true
    }

    /// No other call may be on this seat's phones, and no older grant may come after a newer one.
    fn may_engage(&mut self, whose: &[Whose], call: CallId, grant: u64) -> bool {
        let mut taken = whose.iter().filter_map(|whose| self.engaged.get(whose));
        let fine = taken.all(|engaged| engaged.call == call && engaged.grant <= grant);
        if !fine {
            self.double_claims += 1;
        }
        fine
    }

    fn engage(&mut self, whose: &[Whose], call: CallId, grant: u64, leg: LegId) {
        if let Some(leg) = self.legs.get_mut(&leg) {
            (leg.whose, leg.engaged) = (whose.to_vec(), true);
        }
        for whose in whose {
            let fresh = || Engaged { call, grant, legs: BTreeSet::new() };
            let engaged = self.engaged.entry(whose.clone()).or_insert_with(fresh);
            engaged.grant = engaged.grant.max(grant);
            engaged.legs.insert(leg);
        }
    }
}

impl SipLeg {
    /// What an offer of ours says in the middle of a call: who speaks in secret goes on so, under the
    /// same key.
    fn offers(&self) -> Security {
        let srtp = if self.secured.is_some() { Srtp::Required } else { self.security.srtp };
        Security { srtp, only: self.secured, ..self.security }
    }

    /// Nothing is said of what passes through that the other side of the call would have to hear of.
    fn goes_on(&self, session: &sdp::Session, agreed: &Agreed) -> Result<(), NoAnswer> {
        match self.said.as_ref().zip(Passed::agreed(session, agreed)) {
            Some((said, passed)) => passed.goes_on(said, &self.allowed.passed),
            None => Ok(()),
        }
    }

    /// The far side's key is another one than before, or none.
    fn is_rekeyed_by(&self, agreed: &Agreed) -> bool {
        let theirs = |agreed: &Agreed| agreed.srtp.map(|secured| secured.theirs.key);
        let before = self.agreed.as_ref().and_then(theirs);
        before.is_some() && before != theirs(agreed)
    }
}

fn everything_of(seat: SeatId, targets: &[Target]) -> Vec<Whose> {
    let phones = targets.iter().map(|target| Whose::Phone(target.place()));
    phones.chain([Whose::Seat(seat)]).collect()
}
