//! `clavija call …`.

use super::output::{Column, Output};
use crate::{
    client::{Client, segment},
    error::Failure,
};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Calls that go on, or have ended.
    List {
        /// The last calls that have ended.
        #[arg(long)]
        ended: bool,
    },
    /// One call and its story.
    Show { id: String },
    /// Ends a call.
    Hangup { id: String },
    /// Lets the caller wait to music.
    Hold { id: String },
    /// Ends a hold.
    Resume { id: String },
    /// Keeps nothing of what is said; the recording goes on in silence.
    RecordPause { id: String },
    /// Records again.
    RecordResume { id: String },
}

const COLUMNS: [Column; 8] = [
    ("ID", "id"),
    ("STATE", "state"),
    ("FROM", "from"),
    ("NUMBER", "number"),
    ("TEAM", "team"),
    ("AGENT", "agent"),
    ("SINCE", "started_at"),
    ("END", "end"),
];

const ROWS: [Column; 18] = [
    ("id", "id"),
    ("state", "state"),
    ("direction", "direction"),
    ("from", "from"),
    ("number", "number"),
    ("trunk", "trunk"),
    ("trunk out", "trunk_out"),
    ("team", "team"),
    ("agent", "agent"),
    ("started", "started_at"),
    ("answered", "answered_at"),
    ("bridged", "bridged_at"),
    ("ended", "ended_at"),
    ("end", "end"),
    ("reason", "end_reason"),
    ("recording", "recording_id"),
    ("recording failed", "recording_failed"),
    ("talk seconds", "talk_seconds"),
];

const EVENTS: [Column; 3] = [("AT", "at"), ("EVENT", "event"), ("DETAIL", "detail")];

/// How each side was heard; `OURS LATE` is the appliance's own doing, the others the network's.
const VOICES: [Column; 10] = [
    ("VOICE", "side"),
    ("LOST", "lost"),
    ("TOO LATE", "discarded"),
    ("MADE UP", "made_up"),
    ("JITTER", "jitter"),
    ("ROUND TRIP", "round_trip"),
    ("BUFFER", "buffer"),
    ("OURS LATE", "late"),
    ("MOS", "mos"),
    ("HEARD", "band"),
];

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List { ended } => {
            let state = if ended { "ended" } else { "active" };
            out.list(&client.get(&format!("/api/v1/calls?state={state}")).await?, &COLUMNS)
        }
        Verb::Show { id } => {
            let call = client.get(&format!("/api/v1/calls/{}", segment(&id))).await?;
            out.one(&call, &ROWS)?;
            if let Some(sides) = call["quality"].as_array().filter(|sides| !sides.is_empty()) {
                out.more(&sides.iter().map(voice).collect(), &VOICES)?;
            }
            out.more(&call["events"], &EVENTS)
        }
        Verb::Hangup { id } => act(&id, "hangup", client, out).await,
        Verb::Hold { id } => act(&id, "hold", client, out).await,
        Verb::Resume { id } => act(&id, "resume", client, out).await,
        Verb::RecordPause { id } => act(&id, "record_pause", client, out).await,
        Verb::RecordResume { id } => act(&id, "record_resume", client, out).await,
    }
}

/// One side of a call in words.
fn voice(side: &Value) -> Value {
    let percent = |key: &str| side[key].as_f64().map(|ratio| format!("{:.1} %", ratio * 100.0));
    let ms = |key: &str| side[key].as_f64().map(|ms| format!("{ms:.0} ms"));
    let of_mos = |key: &str| side["mos"][key].as_f64().map(|mos| format!("{mos:.2}"));
    let late = match side["stalls"].as_u64() {
        Some(stalls) if stalls > 0 => ms("late_ms").map(|late| format!("{late}, {stalls} times")),
        Some(_) | None => ms("late_ms"),
    };
    let mos = of_mos("lq").map(|lq| match (of_mos("cq"), side["mos"]["model"].as_str()) {
        (Some(cq), Some(model)) => format!("{lq}, talking {cq} ({model})"),
        (None, Some(model)) => format!("{lq} ({model})"),
        (_, None) => lq,
    });
    json!({
        "side": side["side"],
        "lost": percent("loss_ratio"),
        "discarded": percent("discard_ratio"),
        "made_up": percent("concealed_ratio"),
        "jitter": ms("jitter_ms"),
        "round_trip": ms("round_trip_ms"),
        "buffer": ms("buffer_ms"),
        "late": late,
        "mos": mos,
        "band": side["mos"]["band"],
    })
}

async fn act(id: &str, action: &str, client: &Client, out: &mut Output) -> Result<(), Failure> {
    let path = format!("/api/v1/calls/{}/actions/{action}", segment(id));
    client.post(&path, &json!({})).await?;
    out.say(&format!("{id}: {action} accepted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_one_line_of_the_network_and_of_our_own_lateness() {
        let side = json!({
            "side": "agent", "loss_ratio": 0.0123, "discard_ratio": 0.0, "concealed_ratio": 0.02,
            "jitter_ms": 3.4, "round_trip_ms": null, "buffer_ms": 40.0, "late_ms": 31.2, "stalls": 2,
            "mos": {"lq": 4.2, "cq": null, "model": "narrowband", "band": "satisfied"},
        });

        let line = voice(&side);

        assert_eq!(line["lost"], "1.2 %");
        assert_eq!(line["round_trip"], Value::Null);
        assert_eq!((&line["buffer"], &line["late"]), (&json!("40 ms"), &json!("31 ms, 2 times")));
        assert_eq!(
            (&line["mos"], &line["band"]),
            (&json!("4.20 (narrowband)"), &json!("satisfied"))
        );
        let silent = voice(&json!({"side": "caller", "stalls": 0, "late_ms": 0.1, "mos": null}));
        assert_eq!((&silent["late"], &silent["mos"]), (&json!("0 ms"), &Value::Null));
    }
}
