//! What must load: the contract's files as they stand, the profiles, and what a valid value means.

use crate::folder::{Folder, contract, loopback_host, wav};
use firmware_config::{
    Answer, Channel, Demo, Destination, Dtmf, Host, Loaded, RecordingFormat, Strategy, demo_text,
    diff, from_sources, from_sources_without, from_strings, load, sources,
};
use std::{fs, path::Path, time::Duration};

#[test]
fn the_contracts_files_load_as_they_stand_with_a_warning_for_each_thing_not_served() {
    let folder = Folder::with_contract();

    let Loaded { warnings, .. } = folder.load().unwrap();

    let here = format!("{}/", folder.path().display());
    let said: Vec<_> = warnings.iter().map(|w| w.to_string().replace(&here, "")).collect();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].starts_with("node.toml:21: http.public: HTTP for webhooks"), "{said:#?}");
    assert!(said[1].starts_with("site.toml:20: passwords in plain text: 2;"), "{said:#?}");
}

#[test]
fn the_contracts_node_says_what_the_box_is() {
    let folder = Folder::with_contract();

    let config = folder.load().unwrap().config;

    assert_eq!(config.node.name, "edge-1");
    assert_eq!(config.node.data_dir, folder.path().join("data"));
    assert_eq!(config.node.drain, Duration::from_secs(30));
    assert_eq!(config.sip.udp.to_string(), "127.0.0.1:5060");
    assert_eq!(config.sip.advertise, config.sip.udp);
    assert_eq!(config.sip.tcp, config.sip.udp);
    assert_eq!(config.sip.domain, "clavija.test");
    assert_eq!(config.media.advertise.to_string(), "127.0.0.1");
    assert_eq!(config.media.ports, 20000..=29999);
    assert_eq!(config.http.admin.to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.admin_token_file, folder.path().join("data/admin.token"));
    assert_eq!(config.recording.dir, folder.path().join("data/recordings"));
}

#[test]
fn the_contracts_site_is_resolved_to_places_in_its_lists() {
    let config = Folder::with_contract().load().unwrap().config;

    let pbx = &config.trunks[1];
    assert_eq!(config.trunks[0].peers.len(), 2);
    assert_eq!((pbx.calls_max, pbx.pstn), (2000, false));
    assert_eq!(pbx.address.unwrap().to_string(), "127.0.0.11:5080");
    let (ana, desk) = (&config.agents[0], &config.agents[2]);
    assert_eq!(ana.password.as_ref().unwrap().reveal(), Some("only-for-tests-1001"));
    assert_eq!(desk.contact.as_ref().unwrap().address.to_string(), "127.0.0.12:5070");
    assert_eq!(desk.contact.as_ref().unwrap().uri, "sip:1003@127.0.0.12:5070");
    let (support, front) = (&config.teams[0], &config.teams[1]);
    assert_eq!((support.agents.as_slice(), front.agents.as_slice()), (&[0, 1][..], &[2][..]));
    assert_eq!(support.channels, [Channel::Sip, Channel::Whatsapp]);
    assert_eq!((support.strategy, support.answer), (Strategy::LongestIdle, Answer::AtOnce));
    assert_eq!((support.music, support.record), (Some(0), true));
    assert_eq!(support.ring, Duration::from_secs(20));
    assert_eq!(support.set_aside, Some(Duration::from_secs(30)));
    let leads: Vec<_> = config.numbers.iter().map(|row| row.leads_to).collect();
    assert_eq!(leads, [Destination::Team(0), Destination::Team(1), Destination::Trunk(1)]);
    assert_eq!(config.numbers[2].number, "9?????");
    assert_eq!(config.numbers[2].record, Some(false));
}

#[test]
fn how_keys_go_is_said_of_trunks_and_agents_and_that_they_are_masked_of_a_team() {
    let folder = Folder::with_contract();
    let before = folder.load().unwrap().config;
    assert_eq!((before.trunks[0].dtmf, before.agents[0].dtmf), (Dtmf::Auto, Dtmf::Auto));
    assert!(!before.teams[0].mask_digits);

    folder.edit("site.toml", "pstn = true", "dtmf = \"info\"\npstn = true");
    folder.edit("site.toml", "extension = \"1001\"", "extension = \"1001\"\ndtmf = \"inband\"");
    let channels = "channels = [\"sip\", \"whatsapp\"]";
    folder.edit("site.toml", channels, &format!("{channels}\nmask_digits = true"));
    let config = folder.load().unwrap().config;

    assert_eq!((config.trunks[0].dtmf, config.trunks[1].dtmf), (Dtmf::Info, Dtmf::Auto));
    assert_eq!((config.agents[0].dtmf, config.agents[1].dtmf), (Dtmf::InBand, Dtmf::Auto));
    assert!(config.teams[0].mask_digits && !config.teams[1].mask_digits);
    folder.edit("site.toml", "dtmf = \"info\"", "dtmf = \"sipinfo\"");
    let fault = folder.fault();
    assert!(
        fault.contains("dtmf") && fault.contains("rfc4733") && fault.contains("inband"),
        "{fault}"
    );
}

#[test]
fn a_whatsapp_line_is_accepted_with_one_warning() {
    let folder = Folder::with_contract();
    let site = contract("site.toml") + &contract("site-whatsapp.toml");
    folder.write("site.toml", site.as_str());

    let warnings = folder.load().unwrap().warnings;

    let about: Vec<_> = warnings.iter().filter(|w| w.message.contains("WhatsApp")).collect();
    assert_eq!(about.len(), 1, "{warnings:#?}");
    let header = site.lines().position(|line| line == "[[whatsapp]]").unwrap() + 1;
    assert_eq!(about[0].line, Some(header));
}

#[test]
fn both_halves_may_stand_in_one_file() {
    let folder = Folder::with_contract();
    folder.edit("node.toml", "site = \"site.toml\"\n", "");
    let site = contract("site.toml").replace("schema = \"clavija/v1\"", "");
    folder.write("node.toml", fs::read_to_string(folder.path().join("node.toml")).unwrap() + &site);
    fs::remove_file(folder.path().join("site.toml")).unwrap();

    let config = folder.load().unwrap().config;

    assert_eq!((config.trunks.len(), config.numbers.len()), (2, 3));
}

#[test]
fn files_saved_on_another_system_load_the_same() {
    let folder = Folder::with_contract();
    for name in ["node.toml", "site.toml"] {
        folder.write(name, format!("\u{feff}{}", contract(name).replace('\n', "\r\n")));
    }

    let warnings = folder.load().unwrap().warnings;

    let lines: Vec<_> = warnings.iter().map(|warning| warning.line.unwrap()).collect();
    assert_eq!(lines, [21, 20]);
}

#[test]
fn music_of_any_common_kind_is_taken_and_what_to_look_at_is_said_with_its_place() {
    let folder = Folder::with_contract();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/fuzz/tune");
    for kind in ["mp3_tagged", "mp3_stereo_vbr", "flac", "vorbis", "ogg_flac", "alaw"] {
        folder.write("music/waltz.wav", fs::read(corpus.join(kind)).unwrap());

        let Loaded { config, warnings } = folder.load().unwrap();

        assert!((25..33).contains(&config.music[0].tune.frames()), "{kind}");
        assert!(!warnings.iter().any(|w| w.message.contains("waltz")), "{kind}: {warnings:#?}");
    }
    let mut silent = wav();
    silent[44..].fill(0);
    folder.write("music/waltz.wav", silent);
    let warnings = folder.load().unwrap().warnings;
    let about: Vec<_> = warnings.iter().filter(|w| w.message.contains("waltz.wav: ")).collect();
    assert_eq!((about.len(), about[0].line), (1, Some(34)), "{warnings:#?}");
    assert!(about[0].message.ends_with("nothing can be heard in it: it is silent"), "{about:#?}");
}

#[test]
fn a_tune_is_made_softer_or_louder_as_wished_and_what_is_cut_off_for_it_is_counted() {
    let loudness = |gain: &str| {
        let folder = Folder::with_contract();
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/fuzz/tune");
        folder.write("music/waltz.wav", fs::read(corpus.join("flac")).unwrap());
        let with = format!("\"music/waltz.wav\"\n{gain}");
        folder.edit("site.toml", "\"music/waltz.wav\"", &with);
        let Loaded { config, warnings } = folder.load().unwrap();
        let about = warnings.into_iter().filter(|warning| warning.message.contains("waltz.wav: "));
        let sound = config.music[0].sound.clone().unwrap();
        (sound.loudness_dbfs.unwrap(), about.map(|one| one.message).collect::<Vec<_>>())
    };
    let (as_it_is, none) = loudness("");
    assert_eq!(none, Vec::<String>::new());

    for (line, db) in [("gain_db = -6", -6.0), ("gain_db = -2.5", -2.5), ("gain_db = 0", 0.0)] {
        let (heard, about) = loudness(line);
        assert!((heard - as_it_is - db).abs() < 0.1, "{line}: {as_it_is} to {heard}");
        assert_eq!(about, Vec::<String>::new(), "{line}");
    }
    let (_, about) = loudness("gain_db = 12");
    assert!(about.iter().any(|said| said.contains("its gain cuts off ")), "{about:?}");
}

#[test]
fn relative_paths_are_read_from_the_folder_of_the_file_that_names_them() {
    let folder = Folder::with_contract();
    folder.edit("node.toml", "\"site.toml\"", "\"elsewhere/flows.toml\"");
    folder.write("elsewhere/flows.toml", contract("site.toml"));
    folder.write("elsewhere/music/waltz.wav", wav());

    let config = folder.load().unwrap().config;

    assert_eq!(config.music[0].file, folder.path().join("elsewhere/music/waltz.wav"));
    assert_eq!(config.node.data_dir, folder.path().join("data"));
}

#[test]
fn what_is_left_out_has_the_contracts_defaults() {
    let text =
        "schema = \"clavija/v1\"\n[node]\nname = \"n\"\ndata_dir = \"d\"\n[sip]\ndomain = \"x\"\n";

    let config = from_strings(text, None, Path::new("/etc/x"), &loopback_host()).unwrap().config;

    assert_eq!(config.sip.udp.to_string(), "0.0.0.0:5060");
    assert_eq!(config.sip.advertise.to_string(), "127.0.0.1:5060");
    assert_eq!(config.media.address.to_string(), "0.0.0.0");
    assert_eq!(config.media.advertise.to_string(), "127.0.0.1");
    assert_eq!(config.media.ports, 20000..=29999);
    assert_eq!((config.media.threads, config.media.cpus), (1, vec![]));
    assert_eq!(config.media.lateness_max, Duration::from_millis(20));
    assert_eq!((config.media.load_percent_max, config.media.opus_complexity), (70, 5));
    assert_eq!(config.http.admin.to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.admin_token_file, Path::new("/etc/x/d/admin.token"));
    assert_eq!(config.recording.dir, Path::new("/etc/x/d/recordings"));
}

#[test]
fn media_threads_may_have_cores_and_limits_of_their_own() {
    let folder = Folder::with_contract();
    let own = "threads = 2\ncpus = [3, 1]\nlateness_ms_max = 5\nload_percent_max = 90\n\
               opus_complexity = 10";
    folder.edit("node.toml", "threads = 1", own);

    let media = folder.load().unwrap().config.media;

    assert_eq!((media.cpus, media.lateness_max), (vec![3, 1], Duration::from_millis(5)));
    assert_eq!((media.threads, media.load_percent_max, media.opus_complexity), (2, 90, 10));
}

#[test]
fn an_advertised_address_takes_the_listeners_port_unless_it_has_its_own() {
    let folder = Folder::with_contract();
    folder.edit("node.toml", "domain", "advertise = \"203.0.113.9\"\ndomain");
    assert_eq!(folder.load().unwrap().config.sip.advertise.to_string(), "203.0.113.9:5060");

    folder.edit("node.toml", "203.0.113.9", "203.0.113.9:6060");
    assert_eq!(folder.load().unwrap().config.sip.advertise.to_string(), "203.0.113.9:6060");
}

#[test]
fn ports_are_rounded_to_whole_pairs_and_a_warning_says_so() {
    let folder = Folder::with_contract();
    folder.edit("node.toml", "20000-29999", "20001-20008");

    let Loaded { config, warnings } = folder.load().unwrap();

    assert_eq!(config.media.ports, 20002..=20007);
    assert!(warnings.iter().any(|w| w.message.contains("so 20002-20007 is used")), "{warnings:#?}");
}

#[test]
fn secrets_come_from_files_and_credentials_without_a_warning() {
    let folder = Folder::with_contract();
    folder.edit("site.toml", "\"only-for-tests-1001\"", "{ file = \"secrets/ana\" }");
    folder.edit("site.toml", "\"only-for-tests-1002\"", "{ credential = \"bruno\" }");
    folder.write("secrets/ana", "from a file\n");
    folder.write("credentials/bruno", "from systemd");
    let credentials = Some(folder.path().join("credentials"));
    let host = Host { credentials, ..loopback_host() };

    let Loaded { config, warnings } = load(&folder.path().join("node.toml"), &host).unwrap();

    let password = |at: usize| config.agents[at].password.as_ref().unwrap().reveal();
    assert_eq!((password(0), password(1)), (Some("from a file"), Some("from systemd")));
    assert!(!warnings.iter().any(|w| w.message.contains("plain text")), "{warnings:#?}");
}

#[test]
fn who_may_do_without_does_without_the_music_and_secrets_that_are_gone_and_nothing_else() {
    let folder = Folder::with_contract();
    folder.edit("site.toml", "\"only-for-tests-1001\"", "{ file = \"secrets/ana\" }");
    folder.edit("site.toml", "\"only-for-tests-1002\"", "{ credential = \"bruno\" }");
    folder.write("secrets/ana", "of a box that ran");
    let read = || sources(&folder.path().join("node.toml")).unwrap();
    for music in [None, Some(&b"RIFF"[..])] {
        fs::remove_file(folder.path().join("secrets/ana")).unwrap();
        fs::remove_file(folder.path().join("music/waltz.wav")).unwrap();
        if let Some(cut) = music {
            folder.write("music/waltz.wav", cut);
        }
        assert!(from_sources(&read(), &loopback_host()).is_err());

        let (without, missing) = from_sources_without(&read(), &loopback_host()).unwrap();

        let said: Vec<String> = missing.faults().map(ToString::to_string).collect();
        assert_eq!((missing.music.len(), missing.secrets.len()), (1, 2), "{said:?}");
        for (said, part) in said.iter().zip(["waltz.wav", "secrets/ana", "LoadCredential="]) {
            assert!(said.contains("site.toml:") && said.contains(part), "{said}");
        }
        let password = |at: usize| without.config.agents[at].password.as_ref().unwrap().reveal();
        assert_eq!((password(0), password(1)), (None, None), "nobody proves to know it");
        assert_eq!(without.config.music.len(), 1, "a tone in its place");

        // Found again, it is a difference, though it is written down in the same place.
        folder.write("secrets/ana", "found again");
        folder.write("music/waltz.wav", wav());
        let host = Host { credentials: Some(folder.path().join("secrets")), ..loopback_host() };
        folder.write("secrets/bruno", "found as well");
        let whole = from_sources(&read(), &host).unwrap().config;
        let keys: Vec<String> =
            diff(&without.config, &whole).into_iter().map(|one| one.key).collect();
        assert_eq!(keys, ["agent.ana.password", "agent.bruno.password", "music.waltz.file"]);
    }
    folder.edit("site.toml", "extension = \"1001\"", "extension = \"x\"");
    assert!(from_sources_without(&read(), &loopback_host()).is_err());
}

#[test]
fn a_team_may_answer_with_the_agent_set_nobody_free_and_play_nothing() {
    let folder = Folder::with_contract();
    folder.edit(
        "site.toml",
        "agents = [\"desk\"]\nchannels = [\"sip\"]\nstrategy = \"longest-idle\"\nmusic = \"waltz\"",
        "agents = [\"desk\"]\nanswer = \"with_agent\"\nset_aside_seconds = 0",
    );

    let front = &folder.load().unwrap().config.teams[1];

    assert_eq!((front.answer, front.set_aside, front.music), (Answer::WithAgent, None, None));
    assert_eq!(front.channels, [Channel::Sip]);
}

#[test]
fn a_row_may_name_who_dials_it_and_another_be_for_the_rest() {
    let folder = Folder::with_contract();
    let more = "[[number]]\nnumber = \"+541155550100\"\nagent = \"desk\"\nfrom = [\"pbx\"]\n";
    folder.write("site.toml", contract("site.toml") + "\n" + more);

    let config = folder.load().unwrap().config;

    assert_eq!(config.numbers[3].from, Some(vec![1]));
    assert_eq!(config.numbers[3].leads_to, Destination::Agent(2));
}

#[test]
fn no_secret_shows_in_debug_output() {
    let loaded = Folder::with_contract().load().unwrap();

    let shown = format!("{loaded:?} {loaded:#?}");

    assert!(!shown.contains("only-for-tests"), "{shown}");
    assert!(shown.contains("***"));
}

#[test]
fn a_seal_key_is_read_from_its_file_and_what_is_no_key_is_refused_without_showing_it() {
    let folder = Folder::with_contract();
    let key = "00ff".repeat(16);
    folder.edit("node.toml", "dir = \"data/recordings\"", "seal_key = { file = \"seal.key\" }");
    folder.write("seal.key", format!("{key}\n"));

    let Loaded { config, warnings } = folder.load().unwrap();

    assert_eq!(config.recording.seal_key.as_ref().unwrap().reveal(), Some(key.as_str()));
    assert!(!warnings.iter().any(|warning| warning.message.contains("seal_key")), "{warnings:#?}");
    assert!(!format!("{config:?}").contains("00ff"));
    assert!(!firmware_config::render(&config).contains("00ff"));

    folder.write("seal.key", "hush-hush");
    let faults = folder.load().unwrap_err();
    let said = &faults[0].message;
    assert!(said.contains("recording.seal_key") && said.contains("openssl rand -hex 32"), "{said}");
    assert!(!said.contains("hush"), "{said}");

    folder.edit("node.toml", "{ file = \"seal.key\" }", &format!("\"{key}\""));
    let warnings = folder.load().unwrap().warnings;
    assert!(
        warnings.iter().any(|it| it.message.contains("seal_key: is in plain text")),
        "{warnings:#?}"
    );
    assert!(!firmware_config::masked(&format!("seal_key = \"{key}\"")).contains("00ff"));
}

#[test]
fn the_laptop_profile_loads_and_listens_to_nobody_outside() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/dev-loopback.toml");

    let config = load(&path, &loopback_host()).unwrap().config;

    assert!(config.sip.udp.ip().is_loopback() && config.http.admin.ip().is_loopback());
    assert!(config.media.address.is_loopback());
}

#[test]
fn the_demo_loads_with_whatever_ports_and_folders_it_found() {
    let folder = Folder::new();
    folder.write("odd \"folder\" \\ name/tone.wav", wav());
    let odd = folder.path().join("odd \"folder\" \\ name");
    let text = demo_text(&Demo {
        sip_port: 5999,
        http_port: 8999,
        first_media_port: 30000,
        agent_port: 5998,
        phone_password: "drawn \"at\" random",
        data_dir: &odd,
        music_file: &odd.join("tone.wav"),
    });

    let Loaded { config, warnings } =
        from_strings(&text, None, folder.path(), &loopback_host()).unwrap();

    assert!(!text.contains("_PORT@"), "{text}");
    assert_eq!(config.sip.udp.to_string(), "127.0.0.1:5999");
    assert_eq!(config.http.admin.to_string(), "127.0.0.1:8999");
    assert_eq!(config.media.ports, 30000..=30063);
    assert_eq!(config.node.data_dir, odd);
    assert_eq!(config.agents[0].contact.as_ref().unwrap().address.port(), 5998);
    assert_eq!(config.agents[1].password.as_ref().unwrap().reveal(), Some("drawn \"at\" random"));
    assert_eq!(config.trunks[0].name, "demo-carrier");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
}

#[test]
fn recordings_are_wav_unless_opus_is_asked_for_sealed_or_not() {
    let folder = Folder::with_contract();
    assert_eq!(folder.load().unwrap().config.recording.format, RecordingFormat::Wav);

    folder.edit("node.toml", "[recording]\n", "[recording]\nformat = \"opus\"\n");
    assert_eq!(folder.load().unwrap().config.recording.format, RecordingFormat::Opus);

    folder.edit("node.toml", "format = \"opus\"", "format = \"ogg\"");
    let said = folder.load().unwrap_err()[0].message.clone();
    assert!(said.contains("recording.format") && said.contains("\"wav\" or \"opus\""), "{said}");

    let key = format!("format = \"opus\"\nseal_key = \"{}\"", "00ff".repeat(16));
    folder.edit("node.toml", "format = \"ogg\"", &key);
    let recording = folder.load().unwrap().config.recording;
    assert_eq!((recording.format, recording.seal_key.is_some()), (RecordingFormat::Opus, true));
}
