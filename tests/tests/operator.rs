//! What an operator asks of a running appliance on the command line: where phones are, whether trunks are there.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::{Appliance, binary},
    namespace,
    party::{loopback, register},
    sipp::{Script, Sipp},
    tone::Law,
};
use serde_json::Value;
use std::process::{Command, Output};

fn clavija(appliance: &Appliance, line: &str) -> Output {
    Command::new(binary())
        .args(line.split(' '))
        .args(["--config", "node.toml"])
        .current_dir(appliance.folder())
        .output()
        .unwrap()
}

fn json(appliance: &Appliance, line: &str) -> Value {
    let output = clavija(appliance, &format!("{line} -o json"));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{line}: {error}: {}", String::from_utf8_lossy(&output.stderr))
    })
}

/// The exit code and what was said about it.
fn refused(appliance: &Appliance, line: &str) -> (i32, String) {
    let output = clavija(appliance, line);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap().trim().to_owned())
}

#[test]
fn agent_show_says_where_the_phones_are_and_goes_on_saying_it_after_a_crash() {
    namespace::inside(|| {
        let mut appliance = Appliance::on_contract_files();
        register(appliance.sip(), "1001", "only-for-tests-1001", loopback(21, 5061), 120);
        appliance.await_agent("ana", "available");

        let ana = json(&appliance, "agent show ana");
        let [phone] = ana["contacts"].as_array().unwrap().as_slice() else { panic!("{ana:#}") };
        assert_eq!((&ana["name"], &ana["state"]), (&"ana".into(), &"available".into()));
        assert_eq!(phone["address"], "127.0.0.21:5061");
        assert_eq!(phone["source"], "127.0.0.21:5061");
        assert_eq!((&phone["transport"], &phone["flow"]), (&"udp".into(), &"contact".into()));
        assert_eq!((&phone["digest"], &phone["user_agent"]), (&"MD5".into(), &"SIPp".into()));
        let expires = phone["expires_seconds"].as_u64().unwrap();
        assert!((60..=120).contains(&expires), "{expires}");
        let table = clavija(&appliance, "agent show ana");
        let table = String::from_utf8(table.stdout).unwrap();
        assert!(table.contains("USER AGENT") && table.contains("127.0.0.21:5061"), "{table}");
        let desk = json(&appliance, "agent show desk");
        assert_eq!(desk["contacts"][0]["flow"], "fixed");
        assert_eq!(json(&appliance, "agent show bruno")["contacts"], Value::Array(vec![]));

        appliance.kill_and_start_again();

        appliance.await_agent("ana", "available");
        let ana = json(&appliance, "agent show ana");
        assert_eq!(ana["contacts"][0]["address"], "127.0.0.21:5061");
        register(appliance.sip(), "1001", "only-for-tests-1001", loopback(21, 5061), 0);
        appliance.await_agent("ana", "offline");
        assert_eq!(json(&appliance, "agent show ana")["contacts"], Value::Array(vec![]));
        appliance.stop();
    });
}

#[test]
fn trunk_test_asks_the_trunk_and_its_answer_decides_the_exit_code() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();

        let (code, said) = refused(&appliance, "trunk test pbx");
        assert_eq!((code, said.as_str()), (1, "trunk `pbx` cannot be called as it is: silent"));

        let switch = Script::new("trunk_uas", loopback(11, 5080)).audio(40_000, &[Law::A]);
        let switch = Sipp::start(switch);
        // It leaves with the first who asks.
        let answered = clavija(&appliance, "trunk test pbx -o json");
        let tested: Value = serde_json::from_slice(&answered.stdout).unwrap();
        assert_eq!(answered.status.code(), Some(0), "{tested:#}");
        assert_eq!((&tested["result"], &tested["code"]), (&"answered".into(), &200.into()));
        assert_eq!((&tested["ok"], &tested["address"]), (&true.into(), &"127.0.0.11:5080".into()));
        drop(switch);
        appliance.stop();
    });
}

#[test]
fn a_name_that_is_not_there_is_answered_with_the_nearest_one() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();

        for (line, wanted) in [
            ("agent show anna", (3, "no agent is named `anna`; the nearest name is `ana`")),
            ("agent pause burno", (3, "no agent is named `burno`; the nearest name is `bruno`")),
            ("trunk test carier", (3, "no trunk is named `carier`; the nearest name is `carrier`")),
            (
                "trunk test carrier",
                (4, "the trunk has no `address`, so it only calls us; give it one to test it"),
            ),
        ] {
            let (code, said) = refused(&appliance, line);
            assert_eq!((code, said.as_str()), wanted, "{line}");
        }
        appliance.stop();
    });
}
