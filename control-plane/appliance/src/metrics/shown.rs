//! Metrics of what is counted elsewhere: SIP, media, journal, and the state of calls and agents.

use super::{
    DIRECTIONS, Shown,
    exposition::{Kind, Text},
};
use crate::pump::BoxState;
use control_plane::{cdr::Channel, config::SELF_TEST, fact::AgentState, ids::TeamId};
use sip_stack::{Misdeed, digest::Algorithm};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

/// All families of one moment.
pub(super) fn text(shown: &Shown<'_>) -> String {
    let mut text = Text::default();
    the_box(&mut text, shown);
    calls(&mut text, shown);
    agents(&mut text, shown);
    queues(&mut text, shown);
    sip(&mut text, shown);
    rtp(&mut text, shown);
    media_thread(&mut text, shown);
    recordings(&mut text, shown);
    journal(&mut text, shown);
    text.into_string()
}

fn the_box(text: &mut Text, shown: &Shown<'_>) {
    let (name, help) = ("clavija_build_info", "Always 1; its labels say what runs.");
    text.family(name, help, Kind::Gauge);
    text.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let (name, help) =
        ("clavija_config_info", "Always 1; its labels say which configuration holds.");
    text.family(name, help, Kind::Gauge);
    let generation = shown.config.generation.to_string();
    text.sample(name, &[("generation", &generation), ("hash", &shown.config.hash)], 1);
    let alarms = &shown.config.alarms;
    let help = "Whether the operator's file was refused when it was last read: 1 or 0.";
    let refused = u8::from(alarms.file_refused.is_some());
    text.one("clavija_config_file_refused", help, Kind::Gauge, refused);
    let help = "Whether an older generation holds than was meant: 1 or 0.";
    text.one("clavija_config_fallback", help, Kind::Gauge, u8::from(alarms.fallback.is_some()));
    let help = "Whether the box runs without music or secrets its configuration names: 1 or 0.";
    text.one("clavija_config_incomplete", help, Kind::Gauge, u8::from(alarms.is_incomplete()));
    let help = "Damaged generations of the configuration that the start put aside.";
    text.one("clavija_config_damaged_total", help, Kind::Counter, alarms.damaged);
    let help = "Whether new calls are taken: 1 or 0.";
    text.one("clavija_ready", help, Kind::Gauge, u8::from(shown.state == BoxState::Ready));
    let help = "Whether calls are being finished before the end: 1 or 0.";
    text.one("clavija_draining", help, Kind::Gauge, u8::from(shown.state == BoxState::Draining));
    let panics = shown.counts.media.panics + shown.counts.recorder.panics;
    let help = "Panics of our own code that were caught; each is a bug.";
    text.one("clavija_panics_total", help, Kind::Counter, panics);
}

fn calls(text: &mut Text, shown: &Shown<'_>) {
    let (name, help) = ("clavija_calls_active", "Calls that have not ended.");
    text.family(name, help, Kind::Gauge);
    for direction in DIRECTIONS {
        let counted = shown.view.active().filter(|record| !super::is_self_test(record));
        let active = counted.filter(|record| record.direction == direction).count();
        let labels = [("direction", direction.label()), ("channel", Channel::Sip.label())];
        text.sample(name, &labels, active);
    }
}

fn agents(text: &mut Text, shown: &Shown<'_>) {
    let help = "Agents of a team, by state; who is in two teams counts in both.";
    text.family("clavija_agents", help, Kind::Gauge);
    let plan = shown.view.plan();
    for (team, place) in plan.teams.iter().zip(0..) {
        if plan.gone.teams.contains(&TeamId(place)) || team.name == SELF_TEST {
            continue;
        }
        for state in AgentState::ALL {
            let agents = shown.view.agents_in(TeamId(place), state);
            let labels = [("team", team.name.as_str()), ("state", state.label())];
            text.sample("clavija_agents", &labels, agents);
        }
    }
    text.one(
        "clavija_agent_double_claim_detected_total",
        "Times one agent was promised to two calls; 0 for ever.",
        Kind::Counter,
        shown.counts.double_claims,
    );
}

fn queues(text: &mut Text, shown: &Shown<'_>) {
    let queues = shown.view.queues(shown.now);
    let (name, help) = ("clavija_queue_waiting", "Callers who have no voice yet.");
    text.family(name, help, Kind::Gauge);
    for queue in &queues {
        text.sample(name, &[("queue", &queue.team)], queue.waiting);
    }
    let (name, help) = ("clavija_queue_longest_wait_seconds", "How long the first in line waits.");
    text.family(name, help, Kind::Gauge);
    for queue in &queues {
        text.sample(name, &[("queue", &queue.team)], queue.longest_wait_seconds);
    }
}

fn sip(text: &mut Text, shown: &Shown<'_>) {
    let sip = &shown.counts.sip;
    let (name, help) = ("clavija_sip_requests_total", "SIP requests, repeats left out.");
    text.family(name, help, Kind::Counter);
    for (direction, requests) in [("in", &sip.requests_in), ("out", &sip.requests_out)] {
        for (method, count) in with_zero(requests, "INVITE") {
            text.sample(name, &[("method", method), ("direction", direction)], count);
        }
    }
    let (name, help) = ("clavija_sip_responses_total", "SIP responses, repeats left out.");
    text.family(name, help, Kind::Counter);
    for (direction, responses) in [("in", &sip.responses_in), ("out", &sip.responses_out)] {
        for ((method, code), count) in with_zero(responses, ("INVITE", 200)) {
            let code = code.to_string();
            let labels = [("method", method), ("code", code.as_str()), ("direction", direction)];
            text.sample(name, &labels, count);
        }
    }
    let (name, help) = ("clavija_sip_parse_errors_total", "SIP messages that could not be read.");
    by_reason(text, name, help, with_zero(&sip.parse_errors, "not_sip"));
    let (name, help) =
        ("clavija_sip_rejected_total", "SIP requests refused or dropped on purpose.");
    let mut rejected = with_zero(&sip.rejected, "unknown_source");
    rejected.insert("overload", shown.counts.refused_for_load);
    by_reason(text, name, help, rejected);
    let counter = |text: &mut Text, name, help, value| text.one(name, help, Kind::Counter, value);
    let help = "SIP messages sent again because no answer came.";
    counter(text, "clavija_sip_retransmissions_total", help, sip.retransmissions);
    let help =
        "Keys that were to be told by INFO and were not: refused, not answered, or too many.";
    counter(text, "clavija_sip_keys_failed_total", help, sip.keys_failed);
    let (name, help) =
        ("clavija_sip_session_timers_total", "Sessions refreshed by us, and ended unrefreshed.");
    text.family(name, help, Kind::Counter);
    for (result, count) in
        [("refreshed", sip.sessions_refreshed), ("expired", sip.sessions_expired)]
    {
        text.sample(name, &[("result", result)], count);
    }
    let help = "SIP messages that belong to nothing here.";
    counter(text, "clavija_sip_strays_total", help, sip.stray_responses + sip.stray_acks);
    let help = "Datagrams the kernel dropped because the SIP socket's buffer was full.";
    counter(text, "clavija_sip_receive_dropped_total", help, u64::from(shown.counts.udp.dropped));
    let help = "Sources that were banned.";
    counter(text, "clavija_sip_bans_total", help, shown.counts.bans_total);
    let help = "SIP messages the kernel did not take.";
    counter(text, "clavija_sip_datagrams_refused_total", help, shown.counts.datagrams_refused);
    let (name, help) =
        ("clavija_restart_orphans_total", "Legs that the last process left, by result.");
    text.family(name, help, Kind::Counter);
    let orphans = shown.counts.orphans;
    let results =
        [("found", orphans.found), ("answered", orphans.answered), ("given_up", orphans.given_up)];
    for (result, count) in results {
        text.sample(name, &[("result", result)], count);
    }
    let help = "Bytes of the SIP socket's receive buffer, as the kernel counts them.";
    let bytes = shown.counts.udp.buffer_bytes;
    text.one("clavija_sip_receive_buffer_bytes", help, Kind::Gauge, bytes);
    let (name, help) = ("clavija_sip_bans_active", "Sources that are not heard, by reason.");
    text.family(name, help, Kind::Gauge);
    for why in [Misdeed::Flood, Misdeed::Passwords] {
        let active = shown.counts.bans.iter().filter(|ban| ban.why == why).count();
        text.sample(name, &[("reason", why.label())], active);
    }
    let name = "clavija_sip_phones_proved_total";
    text.family(name, "REGISTERs of phones that proved whose they are, by digest.", Kind::Counter);
    for digest in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256].map(Algorithm::name) {
        let proved = shown.counts.sip.proved.get(digest).copied().unwrap_or_default();
        text.sample(name, &[("digest", digest)], proved);
    }
    connections(text, shown);
    let help = "Parties connected or being connected, by SIP.";
    text.one("clavija_sip_dialogs_active", help, Kind::Gauge, shown.counts.legs);
}

fn connections(text: &mut Text, shown: &Shown<'_>) {
    let sip = &shown.counts.sip;
    let (name, help) = ("clavija_sip_connections", "SIP connections that stand or are being made.");
    text.family(name, help, Kind::Gauge);
    text.sample(name, &[("transport", "tcp")], shown.counts.connections);
    let (name, help) = ("clavija_sip_connections_total", "SIP connections accepted and opened.");
    text.family(name, help, Kind::Counter);
    for (direction, count) in [("in", sip.connections_accepted), ("out", sip.connections_opened)] {
        text.sample(name, &[("transport", "tcp"), ("direction", direction)], count);
    }
    let name = "clavija_sip_connections_closed_total";
    let help = "SIP connections refused, closed or lost.";
    let mut closed = with_zero(&sip.connections_closed, "by_peer");
    let none = shown.counts.connections_not_accepted;
    if none > 0 {
        closed.insert("no_descriptor", none);
    }
    by_reason(text, name, help, closed);
    let help = "Line ends heard that keep a way open.";
    text.one("clavija_sip_keepalives_total", help, Kind::Counter, sip.keep_alives);
    let help = "Line ends sent to keep the way to a phone behind a NAT open.";
    text.one("clavija_sip_keepalives_sent_total", help, Kind::Counter, sip.keep_alives_sent);
}

fn rtp(text: &mut Text, shown: &Shown<'_>) {
    let (media, engine) = (&shown.counts.media, &shown.counts.media.engine);
    let (name, help) = ("clavija_rtp_packets_total", "RTP packets heard and sent.");
    text.family(name, help, Kind::Counter);
    text.sample(name, &[("direction", "in")], engine.packets_in);
    text.sample(name, &[("direction", "out")], engine.packets_out);
    let help = "Bytes of those packets, RTP headers included.";
    text.family("clavija_rtp_bytes_total", help, Kind::Counter);
    text.sample("clavija_rtp_bytes_total", &[("direction", "in")], engine.bytes_in);
    text.sample("clavija_rtp_bytes_total", &[("direction", "out")], engine.bytes_out);
    let name = "clavija_rtcp_packets_total";
    text.family(name, "RTCP compound packets heard and sent.", Kind::Counter);
    text.sample(name, &[("direction", "in")], engine.reports_in);
    text.sample(name, &[("direction", "out")], engine.reports_out);
    let help =
        "RTCP that was not believed: of a source or a form that cannot be, or single values.";
    let refused = [
        ("malformed", engine.reports_malformed),
        ("source", engine.reports_refused),
        ("value", engine.reports_impossible),
    ];
    by_reason(text, "clavija_rtcp_refused_total", help, refused);
    let (name, help) = ("clavija_rtp_dropped_total", "RTP packets that went no further.");
    let unseen = [("buffer_full", media.datagrams_dropped), ("too_long", media.datagrams_cut)];
    by_reason(text, name, help, engine.all_dropped().chain(unseen));
    let counter = |text: &mut Text, name, help, value| text.one(name, help, Kind::Counter, value);
    let help = "RTP packets that never came, told every 5 s of a leg and at its end.";
    counter(text, "clavija_rtp_lost_total", help, engine.packets_lost);
    let help = "RTP packets that came behind one sent after them.";
    counter(text, "clavija_rtp_reordered_total", help, engine.packets_reordered);
    let (duplicates, late, discarded) = engine.duplicate_late_discarded();
    let help = "RTP packets that came twice.";
    counter(text, "clavija_rtp_duplicates_total", help, duplicates);
    let help = "RTP packets that came when what stood behind them had been heard.";
    counter(text, "clavija_rtp_late_total", help, late);
    let help = "RTP packets that came when more waited than may wait.";
    counter(text, "clavija_rtp_discarded_total", help, discarded);
    let help = "Frames of 20 ms that were made up because what was said did not come in time.";
    counter(text, "clavija_rtp_frames_concealed_total", help, engine.frames_concealed);
    let help = "Frames of 20 ms that an encoder wrote: what many hear counts once.";
    counter(text, "clavija_rtp_frames_encoded_total", help, engine.frames_encoded);
    let (name, help) = ("clavija_dtmf_events_total", "Keys that were pressed, and keys told.");
    text.family(name, help, Kind::Counter);
    text.sample(name, &[("direction", "in")], engine.digits_in);
    text.sample(name, &[("direction", "out")], engine.digits_out);
    let help = "Keys that came in one way when another had told them already.";
    counter(text, "clavija_dtmf_events_doubled_total", help, engine.digits_doubled);
    let help = "Keys that were to be told and were not: more than wait, or nobody to hear them.";
    counter(text, "clavija_dtmf_events_lost_total", help, engine.digits_lost);
    let help = "Frames put in where a far side sent nothing in time, made up or silent.";
    text.one("clavija_rtp_frames_inserted_total", help, Kind::Counter, engine.frames_inserted);
    let (name, help) = ("clavija_rtp_ports", "Port pairs of the pool, by state.");
    text.family(name, help, Kind::Gauge);
    text.sample(name, &[("state", "taken")], shown.counts.ports_taken);
    let name = "clavija_media_socket_errors_total";
    text.family(name, "Datagrams the kernel did not give or take.", Kind::Counter);
    text.sample(name, &[("direction", "in")], media.receive_errors);
    text.sample(name, &[("direction", "out")], media.send_errors);
}

fn media_thread(text: &mut Text, shown: &Shown<'_>) {
    let media = &shown.counts.media;
    let help = "From the wake that read a packet to the end of the call that sent it on.";
    text.histogram("clavija_forward_latency_seconds", help, &media.forward_latency);
    let help = "How long after its deadline a tick of a media thread began.";
    text.histogram("clavija_media_tick_lateness_seconds", help, &media.lateness);
    let counter = |text: &mut Text, name, help, value| text.one(name, help, Kind::Counter, value);
    let help = "Ticks that began a whole tick late or later.";
    counter(text, "clavija_media_tick_overruns_total", help, media.ticks_late);
    let help = "Ticks left out after a stall.";
    counter(text, "clavija_media_ticks_skipped_total", help, media.ticks_skipped);
    let help = "Whether new calls are refused because the media threads have no room: 1 or 0.";
    text.one("clavija_media_overloaded", help, Kind::Gauge, u8::from(shown.counts.overloaded));
    headroom(text, shown);
    let help = "Orders the media plane could not carry out.";
    counter(text, "clavija_media_refusals_total", help, shown.counts.media_refusals);
}

/// What the decision about new calls was made of; each thread by its number.
fn headroom(text: &mut Text, shown: &Shown<'_>) {
    let threads = || (0_u32..).map(|number| number.to_string()).zip(&shown.counts.headroom);
    let (name, help) =
        ("clavija_media_thread_utilization_ratio", "Share of its time that a media thread worked.");
    text.family(name, help, Kind::Gauge);
    for (thread, room) in threads() {
        text.sample(name, &[("thread", &thread)], f64::from(room.used_permille) / 1_000.0);
    }
    let name = "clavija_media_tick_used_p99_ratio";
    let help = "What 99 of 100 ticks of the last 2 s used of their millisecond at most; above 1 no new call is taken (`media.lateness_ms_max`).";
    text.family(name, help, Kind::Gauge);
    for (thread, room) in threads() {
        text.sample(name, &[("thread", &thread)], f64::from(room.used_p99_permille) / 1_000.0);
    }
    let name = "clavija_media_tick_lateness_p999_seconds";
    let help = "How late 999 of 1,000 ticks of the last 10 s began at most.";
    text.family(name, help, Kind::Gauge);
    for (thread, room) in threads() {
        text.sample(name, &[("thread", &thread)], room.lateness_p999.as_secs_f64());
    }
}

fn recordings(text: &mut Text, shown: &Shown<'_>) {
    let recorder = &shown.counts.recorder;
    let help = "Recordings being written.";
    text.one("clavija_recordings_active", help, Kind::Gauge, recorder.active);
    let help = "Frames of 20 ms that are silence in a recording because they were lost.";
    let name = "clavija_recording_frames_dropped_total";
    text.one(name, help, Kind::Counter, recorder.frames_lost);
    let help = "Recordings given up; their calls went on.";
    text.one(
        "clavija_recordings_failed_total",
        help,
        Kind::Counter,
        shown.counts.recordings_failed,
    );
}

fn journal(text: &mut Text, shown: &Shown<'_>) {
    let (journal, cdrs) = (shown.journal, shown.cdrs);
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let all = [
        ("clavija_journal_records_total", "Records of the journal.", read(&journal.records)),
        ("clavija_journal_bytes_total", "Bytes written to the journal.", read(&journal.bytes)),
        (
            "clavija_journal_failed_writes_total",
            "Writes to the journal that failed.",
            read(&journal.failed_writes),
        ),
        (
            "clavija_journal_failed_syncs_total",
            "Times the journal could not be brought to the disk.",
            read(&journal.failed_syncs),
        ),
        (
            "clavija_journal_lost_records_total",
            "Records that are not in the journal because it could not be written.",
            read(&journal.lost_records),
        ),
        (
            "clavija_journal_unusable_total",
            "Segments of the journal that the start could not use, or not to their end.",
            read(&journal.unusable),
        ),
        (
            "clavija_journal_syncs_total",
            "Times the journal was brought to the disk.",
            read(&journal.syncs),
        ),
        ("clavija_cdrs_written_total", "Call records written to their file.", read(&cdrs.written)),
        (
            "clavija_cdr_failed_writes_total",
            "Tries to write a call record that failed; it is tried again.",
            read(&cdrs.failed_writes),
        ),
        ("clavija_cdrs_lost_total", "Call records given up.", read(&cdrs.lost)),
        (
            "clavija_view_turns_lost_total",
            "Turns whose facts the API and these metrics never saw.",
            shown.counts.turns_lost,
        ),
    ];
    for (name, help, value) in all {
        text.one(name, help, Kind::Counter, value);
    }
}

fn by_reason(
    text: &mut Text,
    name: &str,
    help: &str,
    reasons: impl IntoIterator<Item = (&'static str, u64)>,
) {
    text.family(name, help, Kind::Counter);
    for (reason, count) in reasons {
        text.sample(name, &[("reason", reason)], count);
    }
}

/// A series that exists from the start: a first event is then seen as a rise from 0.
fn with_zero<K: Copy + Ord>(counted: &BTreeMap<K, u64>, key: K) -> BTreeMap<K, u64> {
    let mut all = counted.clone();
    all.entry(key).or_default();
    all
}
