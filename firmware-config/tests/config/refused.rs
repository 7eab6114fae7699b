//! What must be refused: place, value, and what would have been accepted, all of it at once.

use crate::folder::{Folder, contract, loopback_host};
use firmware_config::{Host, from_strings, load};
use std::{fs, path::Path, process::Command};

/// Edits one file of the contract's and expects exactly one fault that says all of `says`.
fn check(file: &str, old: &str, new: &str, says: &[&str]) {
    let folder = Folder::with_contract();
    folder.edit(file, old, new);

    let fault = folder.fault();

    for part in says {
        assert!(fault.contains(part), "{old:?} -> {new:?}: no {part:?} in {fault:?}");
    }
    assert!(!fault.contains('\n'), "more than one line: {fault:?}");
}

#[test]
fn a_fault_reads_as_place_key_value_and_choice() {
    let folder = Folder::with_contract();
    folder.edit("node.toml", "udp = \"127.0.0.1:5060\"", "udp = \"banana\"");

    let expected =
        "node.toml:10: sip.udp: \"banana\" is not an address; write it like 0.0.0.0:5060";
    assert_eq!(folder.fault(), expected);
}

#[test]
fn another_word_for_srtp_is_refused_with_those_there_are() {
    let says = ["srtp: \"always\" is not known; write \"off\", \"optional\" or \"required\""];
    check("site.toml", "pstn = true", "pstn = true\nsrtp = \"always\"", &says);
    check("site.toml", "extension = \"1001\"", "extension = \"1001\"\nsrtp = \"always\"", &says);
}

#[test]
fn an_unknown_key_is_refused_at_its_line_with_the_nearest_one() {
    for (file, old, new, place, near) in [
        ("node.toml", "udp = ", "upd = ", "node.toml:10: sip.upd", "mean udp?"),
        ("node.toml", "data_dir", "datadir", "node.toml:6: node.datadir", "mean data_dir?"),
        ("node.toml", "[recording]", "[recordings]", "node.toml:24: recordings", "mean recording?"),
        (
            "site.toml",
            "pstn = true",
            "psnt = true",
            "site.toml:8: trunk \"carrier\": psnt",
            "mean pstn?",
        ),
        (
            "site.toml",
            "ring_seconds = 20\nwrap_up_seconds = 0\nrecord = true\n\n[[team]]",
            "ring = 20\nwrap_up_seconds = 0\nrecord = true\n\n[[team]]",
            "site.toml:42: team \"support\": ring",
            "mean ring_seconds?",
        ),
        (
            "site.toml",
            "record = false",
            "recrod = false",
            "number \"9?????\": recrod",
            "mean record?",
        ),
    ] {
        let folder = Folder::with_contract();
        folder.edit(file, old, new);
        let faults = folder.faults();
        let found = faults.iter().any(|fault| fault.contains(place) && fault.contains(near));
        assert!(found, "{place}, {near}: {faults:#?}");
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_shown_with_the_right_kind() {
    check(
        "node.toml",
        "threads = 1",
        "threads = \"one\"",
        &["node.toml:17", "media.threads: \"one\"", "from 1 to 16"],
    );
    check(
        "node.toml",
        "\"clavija.test\"",
        "5",
        &["node.toml:12", "sip.domain: 5 is not text", "pbx.example.com"],
    );
    check("node.toml", "name = \"edge-1\"", "name = [\"a\"]", &["node.name: a list is not text"]);
    check(
        "site.toml",
        "pstn = false",
        "pstn = \"no\"",
        &["site.toml:15", "pstn: \"no\"", "true or false"],
    );
    check(
        "site.toml",
        "[\"ana\", \"bruno\"]",
        "\"ana\"",
        &["agents: \"ana\" is not a list", "[\"ana\"]"],
    );
    check("site.toml", "[\"ana\", \"bruno\"]", "[\"ana\", 7]", &["agents: 7 is not text"]);
}

#[test]
fn addresses_are_refused_with_one_that_would_do() {
    check(
        "node.toml",
        "tcp = \"127.0.0.1:5060\"",
        "tcp = \"localhost\"",
        &["sip.tcp: \"localhost\"", "0.0.0.0:5060"],
    );
    check("node.toml", "udp = \"127.0.0.1:5060\"", "udp = \"127.0.0.1:0\"", &["sip.udp", "port 0"]);
    check(
        "node.toml",
        "address = \"127.0.0.1\"",
        "address = \"127.0.0.1:20000\"",
        &["media.address", "media.ports"],
    );
    check(
        "node.toml",
        "domain",
        "advertise = \"0.0.0.0\"\ndomain",
        &["sip.advertise: \"0.0.0.0\"", "192.0.2.10"],
    );
    check(
        "node.toml",
        "admin = \"127.0.0.1:8080\"",
        "admin = \"8080\"",
        &["http.admin: \"8080\"", "write it like"],
    );
    check(
        "site.toml",
        "[\"127.0.0.11\"]",
        "[\"carrier.example\"]",
        &["site.toml:12", "peers: \"carrier.example\"", "203.0.113.0/24"],
    );
    check("site.toml", "[\"127.0.0.11\"]", "[\"10.0.0.1/8\"]", &["write 10.0.0.0/8"]);
    check(
        "site.toml",
        "\"127.0.0.11:5080\"",
        "\"pbx.local\"",
        &["address: \"pbx.local\"", "192.0.2.10:5060"],
    );
    check(
        "site.toml",
        "sip:1003@127.0.0.12:5070",
        "sip:1003@desk.local",
        &["site.toml:30", "contact", "sip:1001@192.0.2.10:5060"],
    );
}

#[test]
fn a_port_range_too_small_for_one_call_is_refused() {
    for range in ["20000-20001", "20001-20004", "20000-20002", "65533-65535", "20000-20000"] {
        let says = ["node.toml:16", "media.ports", range, "too small", "20000-29999"];
        check("node.toml", "20000-29999", range, &says);
    }
    check("node.toml", "20000-29999", "29999-20000", &["runs backwards"]);
    check("node.toml", "20000-29999", "20000", &["media.ports: \"20000\"", "20000-29999"]);
}

#[test]
fn the_smallest_range_at_the_very_end_is_accepted() {
    let folder = Folder::with_contract();
    folder.edit("node.toml", "20000-29999", "65532-65535");

    assert_eq!(folder.load().unwrap().config.media.ports, 65532..=65535);
}

#[test]
fn media_ports_must_leave_the_sip_port_alone() {
    check(
        "node.toml",
        "20000-29999",
        "5000-6000",
        &["media.ports", "5000-5999 hold the port of sip.udp"],
    );
}

#[test]
fn media_threads_are_one_to_sixteen() {
    check("node.toml", "threads = 1", "threads = 17", &["media.threads: 17", "from 1 to 16"]);
    check("node.toml", "threads = 1", "threads = 0", &["media.threads: 0", "from 1 to 16"]);
}

#[test]
fn each_media_thread_has_one_core_of_its_own() {
    let cores = |cpus: &str, what: &[&str]| {
        check("node.toml", "threads = 1", &format!("threads = 1\ncpus = {cpus}"), what);
    };
    cores("[2, 3]", &["node.toml:18", "media.cpus", "names 2 cores and media.threads is 1"]);
    cores("[2, 2]", &["node.toml:18", "media.cpus", "names core 2 twice"]);
    cores("[4096]", &["media.cpus: 4096", "from 0 to 1023"]);
    cores("[\"2\"]", &["media.cpus: \"2\"", "is not a whole number"]);
    cores("2", &["media.cpus: 2", "is not a list; write it like [2]"]);
}

#[test]
fn limits_of_the_media_threads_are_whole_numbers_in_their_range() {
    for (key, value, range) in [
        ("lateness_ms_max", "0", "from 1 to 1000"),
        ("lateness_ms_max", "1001", "from 1 to 1000"),
        ("load_percent_max", "0.7", "from 1 to 100"),
        ("load_percent_max", "101", "from 1 to 100"),
        ("opus_complexity", "11", "from 0 to 10"),
        ("opus_complexity", "-1", "from 0 to 10"),
        ("opus_complexity", "\"most\"", "from 0 to 10"),
    ] {
        let line = format!("threads = 1\n{key} = {value}");
        check("node.toml", "threads = 1", &line, &[&format!("media.{key}: {value}"), range]);
    }
}

#[test]
fn opus_is_named_once_in_one_band_and_something_is_spoken() {
    let codecs = |list: &str, says: &[&str]| {
        let line = format!("extension = \"1001\"\ncodecs = {list}");
        check("site.toml", "extension = \"1001\"", &line, says);
    };

    codecs("[\"opus\", \"opus\"]", &["codecs", "says the same twice"]);
    codecs(
        "[\"opus/48000\", \"pcma\", \"opus\"]",
        &["codecs", "has \"opus\" and \"opus/48000\"", "write one of them"],
    );
    codecs("[\"g729\", \"amr-wb\"]", &["codecs", "only codecs that pass through", "like \"pcma\""]);
    codecs(
        "[\"opus/16000\"]",
        &["codecs", "\"opus/16000\"", "write \"opus\", \"opus/48000\", \"g722\""],
    );
}

#[test]
fn a_wildcard_on_a_host_with_several_addresses_asks_which_one_to_advertise() {
    let folder = Folder::with_contract();
    folder.edit("node.toml", "udp = \"127.0.0.1:5060\"", "udp = \"0.0.0.0:5060\"");
    let addresses = ["192.0.2.1", "10.0.0.1"].map(|a| a.parse().unwrap()).to_vec();

    let host = Host { addresses, credentials: None };
    let faults = load(&folder.path().join("node.toml"), &host).unwrap_err();

    let said = faults[0].to_string();
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(
        said.contains("sip.advertise is missing") && said.contains("10.0.0.1 or 192.0.2.1"),
        "{said}"
    );
}

#[test]
fn a_music_file_that_is_missing_or_no_music_is_refused_by_name_and_reason() {
    check(
        "site.toml",
        "\"music/waltz.wav\"",
        "\"music/polka.wav\"",
        &["site.toml:34", "music \"waltz\": file", "polka.wav", "WAV"],
    );
    check("site.toml", "\"music/waltz.wav\"", "\"music\"", &["is not a file", "WAV"]);

    let folder = Folder::with_contract();
    folder.write("music/waltz.wav", "this is not RIFF");
    let fault = folder.fault();
    assert!(fault.contains("site.toml:34") && fault.contains("waltz.wav is no music: "), "{fault}");
    assert!(
        fault.contains("write WAV (PCM, float, A-law or mu-law), MP3, FLAC, or Ogg"),
        "{fault}"
    );
}

#[test]
fn a_gain_beyond_what_may_be_is_refused_with_its_range() {
    for (wrong, why) in [
        ("13", "13 is out of range"),
        ("-30.1", "-30.1 is out of range"),
        ("99999999999999", "99999999999999 is out of range"),
        ("nan", "nan is out of range"),
        ("\"loud\"", "\"loud\" is not a number"),
    ] {
        check(
            "site.toml",
            "\"music/waltz.wav\"",
            &format!("\"music/waltz.wav\"\ngain_db = {wrong}"),
            &["site.toml:35", "music \"waltz\": gain_db", why, "write a number from -30 to 12"],
        );
    }
}

#[test]
fn names_that_nobody_has_are_refused_with_the_nearest_and_the_choice() {
    check(
        "site.toml",
        "[\"ana\", \"bruno\"]",
        "[\"anna\", \"bruno\"]",
        &[
            "site.toml:38",
            "agents: \"anna\" is no agent",
            "mean \"ana\"?",
            "\"ana\", \"bruno\", \"desk\"",
        ],
    );
    check(
        "site.toml",
        "team = \"front\"",
        "team = \"fornt\"",
        &["number \"+541155550101\": team", "mean \"front\"?"],
    );
    check("site.toml", "trunk = \"pbx\"", "trunk = \"pxb\"", &["is no trunk", "mean \"pbx\"?"]);
    check(
        "site.toml",
        "record = false",
        "from = [\"carier\"]",
        &["from: \"carier\" is no trunk", "mean \"carrier\"?"],
    );
}

#[test]
fn a_name_extension_or_phone_belongs_to_one_agent() {
    check(
        "site.toml",
        "\"1002\"",
        "\"1001\"",
        &["site.toml:24", "extension \"1001\" is given twice", "line 19"],
    );
    check(
        "site.toml",
        "password = \"only-for-tests-1002\"",
        "contact = \"sip:x@127.0.0.12:5070\"",
        &["contact at 127.0.0.12:5070 is given twice"],
    );
}

#[test]
fn an_agent_needs_a_password_or_a_contact() {
    check(
        "site.toml",
        "password = \"only-for-tests-1002\"",
        "",
        &["site.toml:22", "agent \"bruno\": has neither"],
    );
}

#[test]
fn an_address_belongs_to_one_trunk() {
    check(
        "site.toml",
        "[\"127.0.0.11\"]",
        "[\"127.0.0.0/8\"]",
        &["site.toml:12", "127.0.0.0/8 meets 127.0.0.1 of trunk \"carrier\" on line 6"],
    );
}

#[test]
fn a_trunk_nobody_can_call_by_is_refused() {
    check(
        "site.toml",
        "peers = [\"127.0.0.11\"]\naddress = \"127.0.0.11:5080\"",
        "#",
        &["site.toml:10", "trunk \"pbx\": has neither peers nor address"],
    );
    check("site.toml", "address = \"127.0.0.11:5080\"", "#", &["trunk: \"pbx\" has no address"]);
    check(
        "site.toml",
        "calls_max = 2000\npstn = false",
        "calls_max = 0\npstn = false",
        &["calls_max: 0", "from 1"],
    );
    check(
        "site.toml",
        "calls_max = 2000\npstn = false",
        "pstn = false",
        &["site.toml:10", "calls_max is missing"],
    );
}

#[test]
fn a_name_given_twice_is_refused_at_its_second_place() {
    let folder = Folder::with_contract();
    let again = "\n[[trunk]]\nname = \"pbx\"\npeers = [\"127.0.0.13\"]\ncalls_max = 1\n";
    folder.write("site.toml", contract("site.toml") + again);

    let fault = folder.fault();

    assert!(
        fault.contains("site.toml:70: trunk \"pbx\" is named twice, first on line 11"),
        "{fault}"
    );
}

#[test]
fn a_number_leads_to_exactly_one_place_that_is_served() {
    check(
        "site.toml",
        "team = \"front\"",
        "",
        &["number \"+541155550101\": leads nowhere", "team, agent, trunk"],
    );
    check(
        "site.toml",
        "team = \"front\"",
        "team = \"front\"\nagent = \"ana\"",
        &["leads to more than one"],
    );
    check(
        "site.toml",
        "team = \"front\"",
        "flow = \"menu\"",
        &["flow", "flows are not served by this version"],
    );
    check(
        "site.toml",
        "\"9?????\"",
        "\"9-????\"",
        &["number: \"9-????\" is not a number", "9?????"],
    );
    check("site.toml", "\"+541155550101\"", "\"+541155550100\"", &["has a row on line 57 already"]);
}

#[test]
fn what_a_team_cannot_do_is_refused_with_what_it_can() {
    let at_end =
        |line: &str| format!("record = true\n{line}\n\n[[number]]\nnumber = \"+541155550100\"");
    let old = "record = true\n\n[[number]]\nnumber = \"+541155550100\"";
    for (line, says) in [
        ("closed_message = \"x\"", "closed_message is not a key here"),
        ("set_aside_seconds = -1", "set_aside_seconds: -1 is out of range"),
        (
            "answer = \"later\"",
            "answer: \"later\" is not known; write \"at_once\" or \"with_agent\"",
        ),
    ] {
        check("site.toml", old, &at_end(line), &["team \"front\": ", says]);
    }
    check("site.toml", "agents = [\"desk\"]", "agents = []", &["agents is empty"]);
    check("site.toml", "agents = [\"desk\"]", "agents = [\"desk\", \"desk\"]", &["the same twice"]);
    check(
        "site.toml",
        "[\"sip\", \"whatsapp\"]",
        "[\"fax\"]",
        &["channels: \"fax\"", "\"sip\" or \"whatsapp\""],
    );
}

#[test]
fn both_files_begin_with_the_schema() {
    check(
        "node.toml",
        "clavija/v1",
        "clavija/v2",
        &["node.toml:2: schema: \"clavija/v2\"", "\"clavija/v1\""],
    );
    check(
        "site.toml",
        "schema = \"clavija/v1\"",
        "",
        &["site.toml: schema is missing", "\"clavija/v1\""],
    );
}

#[test]
fn each_half_is_refused_in_the_file_of_the_other() {
    check(
        "node.toml",
        "[recording]",
        "[[music]]\nname = \"x\"\n[recording]",
        &["node.toml:24: music", "belongs in the file node.site names"],
    );
    check(
        "site.toml",
        "[[music]]",
        "[sip]\n[[music]]",
        &["site.toml:32: sip", "belongs in the file that names this one"],
    );
}

#[test]
fn a_site_file_that_is_missing_is_refused_where_it_is_named() {
    check(
        "node.toml",
        "\"site.toml\"",
        "\"flows.toml\"",
        &["node.toml:7: node.site: \"flows.toml\" is not there"],
    );
    check("node.toml", "\"site.toml\"", "7", &["node.toml:7: node.site", "like \"site.toml\""]);
}

#[test]
fn a_site_file_that_is_no_regular_file_is_not_read_and_said_to_be_none() {
    let folder = Folder::with_contract();
    let fifo = folder.path().join("flows");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (site, place) in [("flows", "flows"), ("/dev/zero", "/dev/zero"), ("music", "music")] {
        folder.write(
            "node.toml",
            contract("node.toml").replace("\"site.toml\"", &format!("{site:?}")),
        );

        let fault = folder.fault();

        let said = format!("node.toml:7: node.site: {place} is no regular file");
        assert!(fault.starts_with(&said), "{fault}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_fault() {
    let folder = Folder::new();
    let fault = folder.fault();
    assert!(fault.starts_with("node.toml: cannot be read: "), "{fault}");

    folder.write("node.toml", b"schema = \"clavija/v1\"\n\xff");
    assert_eq!(folder.fault(), "node.toml:2: is not UTF-8 text; save it as UTF-8");
}

#[test]
fn text_that_is_not_toml_is_refused_at_its_line() {
    check("node.toml", "[sip]", "[sip", &["node.toml:9: not TOML: "]);
    check("site.toml", "name = \"carrier\"", "name = \"carrier", &["site.toml:5: not TOML: "]);
    check(
        "site.toml",
        "pstn = false",
        "pstn = false\npstn = true",
        &["site.toml:16: not TOML: ", "duplicate key pstn"],
    );
}

#[test]
fn a_folder_that_is_a_file_is_refused() {
    let folder = Folder::with_contract();
    folder.write("taken", "");
    folder.edit("node.toml", "data_dir = \"data\"", "data_dir = \"taken\"");

    let fault = folder.fault();

    assert!(
        fault.contains("node.toml:6: node.data_dir") && fault.contains("taken is not a folder")
    );
}

#[test]
fn whatever_is_written_a_fault_is_one_line_without_terminal_escapes() {
    let folder = Folder::with_contract();
    folder.edit("site.toml", "record = false", "\"a\\nb\\u001b[2J\" = 1");
    folder.edit("site.toml", "\"music/waltz.wav\"", "\"music\\n/\\u001b[2Jx.wav\"");

    for fault in folder.faults() {
        assert!(!fault.contains(char::is_control), "{fault:?}");
    }
}

#[test]
fn all_faults_of_both_files_come_at_once_and_in_order() {
    let folder = Folder::with_contract();
    folder.edit("node.toml", "udp = \"127.0.0.1:5060\"", "udp = \"banana\"");
    folder.edit("node.toml", "threads = 1", "threads = 99");
    folder.edit("node.toml", "[recording]\ndir", "[recording]\ndri");
    folder.edit("site.toml", "name = \"pbx\"", "name = \"p b x\"");
    folder.edit("site.toml", "\"music/waltz.wav\"", "\"nowhere.wav\"");
    folder.edit("site.toml", "team = \"front\"", "team = \"back\"");

    let places: Vec<_> =
        folder.faults().iter().map(|f| f.split(": ").next().unwrap().to_owned()).collect();

    let expected = [
        "node.toml:10",
        "node.toml:17",
        "node.toml:25",
        "site.toml:11",
        "site.toml:34",
        "site.toml:62",
        "site.toml:66",
    ];
    assert_eq!(places, expected);
}

#[test]
fn a_bad_table_does_not_make_its_name_unknown_elsewhere() {
    check(
        "site.toml",
        "extension = \"1003\"",
        "extension = \"10 03\"",
        &["site.toml:29", "agent \"desk\": extension: \"10 03\""],
    );
    check("site.toml", "[[music]]", "[music]", &["music", "[[music]]"]);
}

#[test]
fn an_empty_file_says_what_is_missing_and_nothing_else() {
    let faults = from_strings("", None, Path::new("."), &loopback_host()).unwrap_err();

    let said: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let missing = ["schema", "node.name", "node.data_dir", "sip.domain"];
    assert_eq!(said.len(), missing.len(), "{said:#?}");
    for key in missing {
        assert!(
            said.iter().any(|f| f.starts_with(&format!("node.toml: {key} is missing"))),
            "{key}"
        );
    }
}

#[test]
fn secrets_that_are_not_there_are_refused_and_never_repeated() {
    let old = "\"only-for-tests-1001\"";
    check(
        "site.toml",
        old,
        "{ file = \"secrets/ana\" }",
        &["site.toml:20", "agent \"ana\": password", "secrets/ana is not there"],
    );
    check(
        "site.toml",
        old,
        "{ credential = \"ana\" }",
        &["password.credential", "LoadCredential="],
    );
    check(
        "site.toml",
        old,
        "{ credential = \"../ana\" }",
        &["\"../ana\" is not the name of a credential"],
    );
    check("site.toml", old, "\"\"", &["password: is empty"]);
    check("site.toml", old, "{}", &["password.file is missing"]);
    check("site.toml", old, "{ file = \"a\", credential = \"b\" }", &["exactly one of the two"]);
    for secret in ["31415926", "[\"31415926\"]", "3.1415926"] {
        let folder = Folder::with_contract();
        folder.edit("site.toml", old, secret);
        let fault = folder.fault();
        assert!(
            fault.contains("neither text nor a table") && !fault.contains("1415926"),
            "{fault}"
        );
    }
}

#[test]
fn a_secret_file_holds_one_line_and_nothing_else() {
    for (content, says) in [("", "is empty"), ("\n", "is empty"), ("a\nb\n", "more than one line")]
    {
        let folder = Folder::with_contract();
        folder.edit("site.toml", "\"only-for-tests-1001\"", "{ file = \"secret\" }");
        folder.write("secret", content);
        assert!(folder.fault().contains(says), "{content:?}");
    }
}

#[test]
fn files_cut_short_or_missing_a_line_are_refused_or_accepted_and_never_a_panic() {
    let folder = Folder::with_contract();
    let whole = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    let (node, site) = (whole("node.toml"), whole("site.toml"));
    let mut refused = 0;
    let mut check = |node: &str, site: &str| {
        let result = from_strings(node, Some(site), folder.path(), &loopback_host());
        for fault in result.err().unwrap_or_default() {
            refused += 1;
            assert!(!fault.to_string().contains('\n'), "{fault}");
            assert!(!fault.to_string().contains("only-for-tests"), "{fault}");
        }
    };

    for end in (0..site.len()).filter(|end| site.is_char_boundary(*end)) {
        check(&node, &site[..end]);
    }
    for end in (0..node.len()).filter(|end| node.is_char_boundary(*end)) {
        check(&node[..end], &site);
    }
    for left_out in 0..site.lines().count() {
        let lines = site.lines().enumerate().filter(|(at, _)| *at != left_out);
        check(&node, &lines.map(|(_, line)| format!("{line}\n")).collect::<String>());
    }

    assert!(refused > 1000, "only {refused} faults were reached");
}
