//! `clavija selftest`: has the running appliance call itself, and says which step failed, if one did.

use super::output::Output;
use crate::{client::Client, error::Failure};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

const PATH: &str = "/api/v1/selftest";
const ASK_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn run(client: &Client, out: &mut Output) -> Result<(), Failure> {
    client.post(PATH, &json!({})).await?;
    let mut said = 0;
    // Every step has an end of its own, and so has the test.
    let report = loop {
        let report = client.get(PATH).await?;
        for step in done(&report).skip(said) {
            out.say(&line(step))?;
            said += 1;
        }
        if report["state"] != "running" {
            break report;
        }
        sleep(ASK_EVERY).await;
    };
    finish(&report, out)
}

fn finish(report: &Value, out: &mut Output) -> Result<(), Failure> {
    out.document(report)?;
    if report["state"] == "ok" {
        return out.say(&format!("recording {}", text(&report["recording_id"])));
    }
    let failed = done(report).find(|step| step["state"] == "failed");
    let said = failed.map_or_else(
        || "the self-test did not come to an end".to_owned(),
        |step| {
            format!(
                "the self-test failed at \"{}\": {}",
                text(&step["step"]),
                text(&step["detail"])
            )
        },
    );
    Err(Failure::Failed(said))
}

fn done(report: &Value) -> impl Iterator<Item = &Value> {
    let steps = report["steps"].as_array().map_or(&[][..], Vec::as_slice);
    steps.iter().filter(|step| step["state"] != "running")
}

fn line(step: &Value) -> String {
    let line = format!("{:<7} {}", text(&step["state"]), text(&step["step"]));
    match text(&step["detail"]) {
        "" => line,
        detail => format!("{line}: {detail}"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_with_its_reason_and_the_exit_code_is_1() {
        let report = json!({"state": "failed", "steps": [
            {"step": "the phone rings", "state": "ok", "detail": ""},
            {"step": "the phone hears the caller", "state": "failed", "detail": "no audio came"},
        ]});

        let failure = finish(&report, &mut Output::new(super::super::output::Format::Table));

        let failure = failure.unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        assert_eq!(
            failure.to_string(),
            "the self-test failed at \"the phone hears the caller\": no audio came"
        );
    }
}
