//! The steps of the self-test, in the order a call takes them.

use super::{SelfTest, StepFailed};
use crate::{
    demo::{
        hearing::{self, await_silence_of, await_voice, expect, listen},
        peer::{Happens, Local, Peer},
        sound,
    },
    pump::read,
    recording,
};
use control_plane::{
    cdr::{CallRecord, CallState},
    config::{SELF_TEST, SELF_TEST_NUMBER},
    exchange::Request,
    fact::End,
    ids::CallId,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinError,
    time::{sleep, timeout},
};

const CALLER_HZ: f64 = 440.0;
const PHONE_HZ: f64 = 660.0;
const CALLER_DIGITS: &str = "159#";
const PHONE_DIGITS: &str = "*20";
/// Heard before the phone answers, and recorded after everything else.
const WAITING: Duration = Duration::from_millis(500);
const TALK: Duration = Duration::from_millis(1_500);
/// Of the recording's last audio, what is looked at: after hold and digits, before the end.
const TAIL_SAMPLES: usize = 8_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes of one stereo sample.
const STEREO_BYTES: usize = 4;

type Done<T> = Result<(T, String), String>;

/// All of them, or up to the one that fails.
pub(super) async fn run(test: &Arc<SelfTest>) -> Result<(), StepFailed> {
    let (caller, phone) = test.step("a caller and a phone are let in", let_in(test)).await?;
    let own = Arc::clone(test);
    let done = until_hung_up(caller, phone, |caller, phone| call(own, caller, phone)).await;
    // A panic is in the log already.
    done.unwrap_or(Err(StepFailed))
}

/// Whichever step fails, or panics: neither peer stays up, and both are waited for.
async fn until_hung_up<T, F>(
    caller: Peer,
    phone: Peer,
    work: impl FnOnce(Peer, Peer) -> F,
) -> Result<T, JoinError>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (caller_gone, phone_gone) = (caller.departed(), phone.departed());
    let done = tokio::spawn(work(caller, phone)).await;
    tokio::join!(caller_gone, phone_gone);
    done
}

async fn call(test: Arc<SelfTest>, mut caller: Peer, mut phone: Peer) -> Result<(), StepFailed> {
    let (test, caller, phone) = (&*test, &mut caller, &mut phone);
    let step = "the appliance takes the call";
    let (call, id) = test.step(step, dial(test, caller)).await?;
    test.lock().call_id = Some(id.clone());
    test.step("the caller hears the appliance while waiting", waiting(caller)).await?;
    test.step("the phone rings and answers", pick_up(phone)).await?;
    test.step("the phone hears the caller", hears(phone, CALLER_HZ)).await?;
    test.step("the caller hears the phone", hears(caller, PHONE_HZ)).await?;
    let step = "digits of the caller reach the phone";
    test.step(step, digits(caller, phone, CALLER_DIGITS)).await?;
    let step = "digits of the phone reach the caller";
    test.step(step, digits(phone, caller, PHONE_DIGITS)).await?;
    test.step("on hold neither hears the other", hold(test, call, caller, phone)).await?;
    let step = "after the hold both hear each other again";
    test.step(step, resume(test, call, caller, phone)).await?;
    test.step("both are told of the end", hang_up(caller, phone)).await?;
    let record = test.step("the call is accounted for", account(test, call)).await?;
    let recording = test.step("the recording holds both voices", recorded(test, &record)).await?;
    test.lock().recording_id = Some(recording);
    Ok(())
}

async fn let_in(test: &SelfTest) -> Done<(Peer, Peer)> {
    let (sip, media) = (test.sip.ip(), test.media);
    let local = Local { sip, media, number: SELF_TEST_NUMBER };
    let start = async |hz| Peer::start_at(local, hz).await.map_err(|error| error.to_string());
    let (caller, phone) = (start(CALLER_HZ).await?, start(PHONE_HZ).await?);
    test.handle.admit(Some((caller.address, phone.address))).await;
    let detail = format!("at {} and {}", caller.address, phone.address);
    Ok(((caller, phone), detail))
}

async fn dial(test: &SelfTest, caller: &mut Peer) -> Done<(CallId, String)> {
    caller.call(SELF_TEST_NUMBER, test.sip);
    expect(caller, Happens::Connected).await?;
    // What reads the calls follows the one that carries them.
    let found = soon(|| {
        let view = read(test.handle.view());
        let own = view.active().find(|record| record.trunk.as_deref() == Some(SELF_TEST));
        own.map(|record| record.id.clone())
    });
    let id = found.await.ok_or("it is in no list of calls")?;
    let call = id.parse().map_err(|error: control_plane::ids::NotACallId| error.to_string())?;
    Ok(((call, id.clone()), id))
}

async fn waiting(caller: &Peer) -> Done<()> {
    let heard = listen(caller, WAITING).await?;
    let what = if sound::is_audible(&heard) { "music" } else { "silence, without gaps" };
    Ok(((), what.to_owned()))
}

async fn pick_up(phone: &mut Peer) -> Done<()> {
    expect(phone, Happens::Called).await?;
    phone.answer();
    expect(phone, Happens::Connected).await?;
    Ok(((), String::new()))
}

async fn hears(peer: &Peer, hz: f64) -> Done<()> {
    let share = await_voice(peer, hz).await?;
    Ok(((), format!("{:.0} % of what came", 100.0 * share.min(1.0))))
}

/// RFC 4733 events, one after the other as they were pressed, each once.
async fn digits(from: &Peer, to: &Peer, pressed: &str) -> Done<()> {
    from.press(pressed);
    let arrived = soon(|| (to.digits().len() >= pressed.len()).then(|| to.digits())).await;
    let arrived = arrived.unwrap_or_else(|| to.digits());
    if arrived == pressed {
        return Ok(((), arrived));
    }
    Err(format!("{pressed} was pressed and {arrived:?} arrived"))
}

async fn hold(test: &SelfTest, call: CallId, caller: &Peer, phone: &Peer) -> Done<()> {
    ask(test, Request::Hold(call)).await?;
    await_silence_of(caller, PHONE_HZ).await.map_err(|why| format!("the caller: {why}"))?;
    await_silence_of(phone, CALLER_HZ).await.map_err(|why| format!("the phone: {why}"))?;
    Ok(((), String::new()))
}

async fn resume(test: &SelfTest, call: CallId, caller: &Peer, phone: &Peer) -> Done<()> {
    ask(test, Request::Resume(call)).await?;
    await_voice(caller, PHONE_HZ).await.map_err(|why| format!("the caller: {why}"))?;
    await_voice(phone, CALLER_HZ).await.map_err(|why| format!("the phone: {why}"))?;
    listen(caller, TALK).await?;
    Ok(((), String::new()))
}

async fn hang_up(caller: &mut Peer, phone: &mut Peer) -> Done<()> {
    caller.hang_up();
    hearing::ended(phone).await.map_err(|why| format!("the phone: {why}"))?;
    hearing::ended(caller).await.map_err(|why| format!("the caller: {why}"))?;
    Ok(((), String::new()))
}

async fn account(test: &SelfTest, call: CallId) -> Done<Arc<CallRecord>> {
    let is_over = |record: &Arc<CallRecord>| record.state == CallState::Ended;
    let ended = soon(|| read(test.handle.view()).call(call).filter(is_over));
    let record = ended.await.ok_or("its record does not end")?;
    if record.end != Some(End::Completed) {
        let reason = record.end_reason.clone().unwrap_or_default();
        return Err(format!("its record says that it did not go well: {reason}"));
    }
    let detail = format!("{:.1} s of talk", record.talk_seconds);
    Ok((record, detail))
}

/// Left the caller, right the phone (contract §4).
async fn recorded(test: &SelfTest, record: &CallRecord) -> Done<String> {
    if let Some(fault) = &record.recording_failed {
        return Err(fault.what.clone());
    }
    let id = record.recording_id.clone().ok_or("there is none")?;
    let found = recording::find(&test.recordings, &id).map_err(|error| error.to_string())?;
    let found = found.ok_or_else(|| format!("{id} is not in {}", test.recordings.display()))?;
    let file = &found.path;
    let samples = found.samples(test.seal_key.as_ref());
    let samples = samples.map_err(|error| format!("{}: {error}", file.display()))?;
    let (left, right) = tail(&samples);
    let caller = sound::usual_share(&left, CALLER_HZ);
    let phone = sound::usual_share(&right, PHONE_HZ);
    if caller < hearing::VOICE_SHARE || phone < hearing::VOICE_SHARE {
        let percent = |share: f64| 100.0 * share.min(1.0);
        return Err(format!(
            "{}: {:.0} % of its end is the caller on the left and {:.0} % the phone on the right",
            file.display(),
            percent(caller),
            percent(phone)
        ));
    }
    Ok((id, file.display().to_string()))
}

/// The last second, a little before the end.
fn tail(samples: &[u8]) -> (Vec<i16>, Vec<i16>) {
    let samples = samples.chunks_exact(STEREO_BYTES);
    let end = samples.len().saturating_sub(TAIL_SAMPLES / 8);
    let begin = end.saturating_sub(TAIL_SAMPLES);
    samples
        .skip(begin)
        .take(end - begin)
        .map(|pair| {
            (i16::from_le_bytes([pair[0], pair[1]]), i16::from_le_bytes([pair[2], pair[3]]))
        })
        .unzip()
}

async fn ask(test: &SelfTest, request: Request) -> Result<(), String> {
    test.handle.request(request).await.map_err(|error| error.to_string())
}

/// What `look` gives, within the patience of everything here.
async fn soon<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    let seen = async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(hearing::PATIENCE, seen).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip_stack::Cause;

    fn break_off(_: &Peer, _: &Peer) {
        panic!("on purpose");
    }

    #[tokio::test]
    async fn a_self_test_that_panics_has_hung_up_both_of_its_peers_when_it_ends() {
        let peer = async || Peer::start(CALLER_HZ).await.unwrap();
        let (mut caller, mut phone) = (peer().await, peer().await);
        let (mut one, mut other) = (peer().await, peer().await);
        for (from, to) in [(&mut caller, &mut one), (&mut phone, &mut other)] {
            from.call("1", to.address);
            expect(to, Happens::Called).await.unwrap();
            to.answer();
            expect(from, Happens::Connected).await.unwrap();
            expect(to, Happens::Connected).await.unwrap();
        }

        let broken = |caller, phone| async move { break_off(&caller, &phone) };
        let done = until_hung_up(caller, phone, broken).await;

        assert!(done.is_err_and(|error| error.is_panic()));
        for side in [&mut one, &mut other] {
            tokio::select! {
                biased;
                happens = side.next() => assert_eq!(happens, Happens::Ended(Cause::Bye)),
                () = std::future::ready(()) => panic!("nobody hung up"),
            }
        }
    }

    #[test]
    fn the_end_of_a_recording_is_its_last_second_by_side() {
        let mut wav = vec![];
        for sample in 0..20_000_i16 {
            wav.extend(sample.to_le_bytes());
            wav.extend((-sample).to_le_bytes());
        }

        let (left, right) = tail(&wav);

        assert_eq!((left.len(), left.first(), left.last()), (8_000, Some(&11_000), Some(&18_999)));
        assert_eq!(right.first(), Some(&-11_000));
        assert_eq!(tail(&[]), (vec![], vec![]));
        assert_eq!(tail(&[1; 50]), (vec![], vec![]));
    }
}
