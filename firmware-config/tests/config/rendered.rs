//! What is rendered can be read again and is the same; what differs is said, secrets are not.

use crate::folder::{Folder, contract, loopback_host, wav};
use firmware_config::{Change, Config, Difference, check_bytes, diff, from_strings, render};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;

const MARKER: &str = "hush-7f3a-marker";

fn edited(old: &str, new: &str) -> (Config, Config) {
    let folder = Folder::with_contract();
    let was = folder.load().unwrap().config;
    folder.write("site.toml", contract("site.toml").replacen(old, new, 1));
    (was, folder.load().unwrap().config)
}

fn lines(differences: &[Difference]) -> Vec<String> {
    let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
    let line = |one: &Difference| {
        format!("{} {}: {} -> {}", one.change.word(), one.key, or_none(&one.was), or_none(&one.is))
    };
    differences.iter().map(line).collect()
}

#[test]
fn the_contract_is_rendered_as_it_stands_in_the_golden_file() {
    let folder = Folder::with_contract();
    let config = folder.load().unwrap().config;

    let rendered = render(&config).replace(&folder.path().display().to_string(), "HERE");

    let golden = include_str!("rendered.toml");
    assert_eq!(rendered.trim(), golden.trim(), "{rendered}");
}

#[test]
fn the_same_in_other_words_is_no_difference() {
    let folder = Folder::with_contract();
    let was = folder.load().unwrap().config;
    let text = contract("site.toml");
    // Another order of tables and keys, a default written out, a comment more.
    let agents: Vec<&str> = text.split("[[agent]]").collect();
    assert_eq!(agents.len(), 4);
    let (desk, rest) = agents[3].split_at(agents[3].find("[[").unwrap());
    let other = format!(
        "{}[[agent]]{desk}# hello\n[[agent]]{}[[agent]]{}{}",
        agents[0],
        agents[2],
        agents[1],
        rest.replace("ring_seconds = 20", "answer = \"at_once\"\nset_aside_seconds = 30")
    );
    folder.write("site.toml", other);

    assert_eq!(lines(&diff(&was, &folder.load().unwrap().config)), Vec::<String>::new());
    assert_eq!(diff(&was, &was), []);
}

#[test]
fn a_difference_says_key_values_and_when_it_takes_hold() {
    let (was, is) = edited("calls_max = 2000", "calls_max = 30");
    assert_eq!(lines(&diff(&was, &is)), ["live trunk.carrier.calls_max: 2000 -> 30"]);

    let folder = Folder::with_contract();
    folder.write("site.toml", contract("site.toml").replace("\"desk\"", "\"table\""));
    let renamed = diff(&was, &folder.load().unwrap().config);
    assert!(renamed.iter().any(|one| one.key == "agent.desk.extension" && one.is.is_none()));
    assert!(renamed.iter().any(|one| one.key == "agent.table.extension" && one.was.is_none()));
}

#[test]
fn what_the_start_alone_can_change_says_so() {
    let folder = Folder::with_contract();
    let was = folder.load().unwrap().config;
    folder.edit("node.toml", "admin = \"127.0.0.1:8080\"", "admin = \"127.0.0.1:8085\"");
    folder.edit("node.toml", "domain = \"clavija.test\"", "domain = \"other.test\"");

    let found = diff(&was, &folder.load().unwrap().config);

    assert!(found.iter().all(|one| one.change == Change::Restart));
    let keys: Vec<&str> = found.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["http.admin", "sip.domain"]);
}

#[test]
fn a_secret_that_changed_is_a_difference_that_does_not_say_it() {
    let (was, is) = edited("only-for-tests-1001", MARKER);

    let found = diff(&was, &is);

    assert_eq!(lines(&found), ["live agent.ana.password: \"***\" -> \"***\" (changed)"]);
    let said = format!("{found:?} {} {is:?}", render(&is));
    assert!(!said.contains(MARKER) && !said.contains("only-for-tests"), "{said}");
}

#[test]
fn a_secret_in_a_file_stays_a_reference_and_its_new_content_is_a_difference() {
    let folder = Folder::with_contract();
    folder.write("secrets/ana", MARKER);
    folder.edit("site.toml", "\"only-for-tests-1001\"", "{ file = \"secrets/ana\" }");
    let was = folder.load().unwrap().config;
    folder.write("secrets/ana", "another");
    let is = folder.load().unwrap().config;

    assert_eq!(diff(&was, &is).len(), 1);
    assert!(render(&was).contains("secrets/ana\" }") && !render(&was).contains(MARKER));
}

#[test]
fn a_tune_that_was_replaced_under_its_name_is_a_difference_for_the_next_start() {
    let folder = Folder::with_contract();
    let was = folder.load().unwrap().config;
    let mut louder = wav();
    *louder.last_mut().unwrap() = 0x40;
    folder.write("music/waltz.wav", louder);
    let is = folder.load().unwrap().config;

    let found = diff(&was, &is);

    let file = format!("\"{}\"", folder.path().join("music/waltz.wav").display());
    let said = format!("restart music.waltz.file: {file} -> {file} (changed)");
    assert_eq!(lines(&found), [said]);
    assert!(found[0].behind);
}

#[test]
fn one_folder_has_one_name_however_it_is_written() {
    let folder = Folder::with_contract();
    let was = folder.load().unwrap().config;
    std::fs::create_dir(folder.path().join("new")).unwrap();
    let node = contract("node.toml").replace("site.toml", "../site.toml");
    let dir = |config: &Config| config.node.data_dir.clone();
    let node = node.replace("= \"data", "= \"./../data");
    folder.write("new/node.toml", node);

    let is = firmware_config::load(&folder.path().join("new/node.toml"), &loopback_host()).unwrap();

    assert_eq!(dir(&was), dir(&is.config));
    assert_eq!(lines(&diff(&was, &is.config)), Vec::<String>::new());
}

/// A site of whatever is allowed, with every secret in a file.
fn some_site(dice: &mut ChaCha20Rng) -> String {
    let mut text = contract("node.toml").replace("site = \"site.toml\"\n", "");
    let mut one_of = |words: &[&str]| words[dice.random_range(0..words.len())].to_owned();
    for at in 0..3 {
        let pstn = one_of(&["", "pstn = true\n", "pstn = false\n"]);
        let transport = one_of(&["", "transport = \"tcp\"\n", "srtp = \"required\"\n"]);
        let address = one_of(&["", "address = \"192.0.2.9:5080\"\n", "address = \"192.0.2.9\"\n"]);
        text += &format!(
            "[[trunk]]\nname = \"t{at}\"\npeers = [\"10.{at}.0.0/16\"]\ncalls_max = {}\n{pstn}{transport}{address}",
            at + 1
        );
    }
    for at in 0..4 {
        let who = one_of(&[
            "password = { file = \"secrets/one\" }\n",
            &format!("contact = \"sip:x@192.0.2.{at}:5070;line=\\u0061\"\nsrtp = \"optional\"\n"),
        ]);
        let dtmf = one_of(&["", "dtmf = \"info\"\n", "dtmf = \"inband\"\n"]);
        text += &format!("[[agent]]\nname = \"a{at}\"\nextension = \"10{at}\"\n{who}{dtmf}");
    }
    text += "[[music]]\nname = \"waltz\"\nfile = \"music/waltz.wav\"\n";
    text += &one_of(&["", "gain_db = -6\n", "gain_db = 1.25\n", "gain_db = -0.0\n"]);
    for at in 0..2 {
        let more =
            one_of(&["", "music = \"waltz\"\n", "ring_seconds = 7\nset_aside_seconds = 0\n"]);
        let answer =
            one_of(&["", "answer = \"with_agent\"\n", "record = true\nmask_digits = true\n"]);
        let agents = one_of(&["\"a0\"", "\"a3\", \"a1\""]);
        text += &format!("[[team]]\nname = \"team{at}\"\nagents = [{agents}]\n{more}{answer}");
    }
    for at in 0..4 {
        let to = one_of(&["team = \"team1\"", "agent = \"a2\"", "team = \"team0\""]);
        let from = one_of(&["", "from = [\"t1\"]\n", "from = [\"t2\", \"t0\"]\n"]);
        let record = one_of(&["", "record = false\n"]);
        text += &format!("[[number]]\nnumber = \"{at}?*\"\n{to}\n{from}{record}");
    }
    text
}

#[test]
fn what_is_rendered_reads_back_as_the_same() {
    let folder = Folder::new();
    folder.write("secrets/one", "hidden");
    folder.write("music/waltz.wav", wav());
    for seed in 0..300 {
        let text = some_site(&mut ChaCha20Rng::seed_from_u64(seed));
        let read = |text: &str| {
            from_strings(text, None, folder.path(), &loopback_host())
                .unwrap_or_else(|faults| panic!("seed {seed}: {faults:#?}\n{text}"))
                .config
        };
        let once = read(&text);
        let rendered = render(&once);

        let twice = read(&rendered);

        assert_eq!(diff(&once, &twice), [], "seed {seed}");
        assert_eq!(render(&twice), rendered, "seed {seed}");
    }
}

#[test]
fn whatever_the_bytes_are_they_are_read_or_refused() {
    let folder = Folder::with_contract();
    let whole = [contract("node.toml"), contract("site.toml")].join("\0").into_bytes();
    let (mut dice, mut read, mut refused) = (ChaCha20Rng::seed_from_u64(1), 0, 0);
    for _ in 0..1_500 {
        let mut bytes = whole.clone();
        for _ in 0..dice.random_range(0..4) {
            let (from, to) = (dice.random_range(0..bytes.len()), dice.random_range(0..bytes.len()));
            match dice.random_range(0..4) {
                0 => bytes[from] = dice.random(),
                1 => bytes.truncate(from.max(1)),
                2 => _ = bytes.drain(from.min(to)..from.max(to).min(from.min(to) + 30)),
                _ => bytes[from] = b"\"[]=.\n#'{}"[dice.random_range(0..10)],
            }
        }
        match check_bytes(&bytes, folder.path(), &loopback_host()) {
            Ok(loaded) => (read, _) = (read + 1, render(&loaded.config)),
            Err(faults) => {
                assert!(!faults.is_empty());
                refused += 1;
            }
        }
    }
    assert!(read > 100 && refused > 100, "{read} {refused}");
}
