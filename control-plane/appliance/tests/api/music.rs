//! What callers wait to: a file that is sent is checked, kept, heard, and taken away.

use super::*;
use std::{os::unix::fs::PermissionsExt, process::Stdio};
use tokio::time::timeout;

/// A file of the corpus that the importer is fuzzed with.
fn corpus(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/fuzz/tune");
    fs::read(folder.join(name)).unwrap()
}

const TUNE: &str = "/api/v1/music/tone";

impl Box {
    async fn put(&self, path: &str, file: Vec<u8>) -> Response {
        self.asked(Method::PUT, path).body(file).send().await.unwrap()
    }

    /// The one tune.
    async fn tune(&self) -> Value {
        self.json("/api/v1/music").await["items"][0].clone()
    }

    /// The same, once what was uploaded is heard; a start does not wait for it on a busy machine.
    async fn tune_uploaded(&self) -> Value {
        // The bound is only there so that a fault is not a hang.
        for _ in 0..1_200 {
            let tune = self.tune().await;
            if tune["source"] == "uploaded" {
                return tune;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("what was uploaded is not heard: {}", self.tune().await)
    }

    fn kept(&self) -> Vec<String> {
        let all = fs::read_dir(self.folder.join("data/music")).unwrap();
        all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_music_is_heard_in_the_place_of_the_configured_one_over_starts_until_it_is_taken_away()
 {
    let the = Box::start("music").await;
    let configured = the.tune().await;
    assert_eq!(
        (&configured["name"], &configured["source"]),
        (&json!("tone"), &json!("configured"))
    );
    assert_eq!((&configured["coding"], &configured["seconds"]), (&json!("WAV"), &json!(0.5)));
    assert_eq!(configured["team_names"], json!(["demo"]));
    assert_eq!(configured["warnings"][0], "nothing can be heard in it: it is silent");

    let put = the.put(TUNE, corpus("mp3")).await;

    assert_eq!(put.status(), 200);
    let put: Value = put.json().await.unwrap();
    assert_eq!((&put["source"], &put["coding"]), (&json!("uploaded"), &json!("MP3")));
    assert_eq!((&put["file"], &put["rate_hz"]), (&configured["file"], &json!(22_050)));
    assert_eq!(put["uploaded_bytes"], corpus("mp3").len());
    assert!(put["uploaded_at"].is_string() && put["loudness_dbfs"].is_number(), "{put}");
    assert_eq!(the.json("/api/v1/music").await["items"], json!([put]));
    assert_eq!(the.put(TUNE, corpus("flac")).await.status(), 200, "and another in its place");

    let the = the.start_again().await;
    let after = the.tune_uploaded().await;
    assert_eq!((&after["source"], &after["coding"]), (&json!("uploaded"), &json!("FLAC")));

    let gone = the.asked(Method::DELETE, TUNE).send().await.unwrap();
    assert_eq!(gone.json::<Value>().await.unwrap(), configured);
    let again = the.asked(Method::DELETE, TUNE).send().await.unwrap();
    assert_eq!(problem(again).await, (404, "no-such-upload".to_owned()));
    let the = the.start_again().await;
    assert_eq!(the.json("/api/v1/music").await["items"], json!([configured]));
    the.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_music_is_refused_with_the_check_it_failed_and_the_old_one_is_heard() {
    let the = Box::start("no-music").await;
    assert_eq!(the.put(TUNE, corpus("flac")).await.status(), 200);
    let before = the.json("/api/v1/music").await;
    let mut cut = corpus("flac");
    cut.truncate(cut.len() / 2);
    let mut slow = silence_wav();
    slow[24..28].copy_from_slice(&2_000_u32.to_le_bytes());
    slow[28..32].copy_from_slice(&4_000_u32.to_le_bytes());
    let mut none = silence_wav();
    none.truncate(44);
    none[40..44].fill(0);

    for (file, status, why) in [
        (b"{}".to_vec(), 415, "format: it is not audio of a known kind; write WAV (PCM"),
        (corpus("opus"), 415, "format: it is Opus, which is not supported; write WAV (PCM"),
        (slow, 422, "rate: its sample rate is 2000 Hz; 4000 to 384000 Hz can be played"),
        (none, 422, "length: it has no samples; one frame of audio is the least"),
        (cut, 422, "end: it ends "),
        (vec![], 422, "length: the file is empty; one frame of audio is the least"),
    ] {
        let answer = the.put(TUNE, file).await;
        assert_eq!(answer.status(), status, "{why}");
        let said: Value = answer.json().await.unwrap();
        assert!(said["detail"].as_str().unwrap().starts_with(why), "{said}");
        assert_eq!(said["code"], "music-refused");
    }
    let unknown = the.put("/api/v1/music/tonne", corpus("mp3")).await;
    let said: Value = unknown.json().await.unwrap();
    assert_eq!(said["code"], "no-such-tune");
    assert!(said["detail"].as_str().unwrap().contains("did you mean \"tone\"?"), "{said}");
    for other in ["..%2f..%2fadmin.token", "%2e%2e"] {
        let path = format!("/api/v1/music/{other}");
        assert_eq!(problem(the.put(&path, corpus("mp3")).await).await.0, 404, "{other}");
    }
    assert_eq!(the.json("/api/v1/music").await, before);
    the.end().await;
}

/// The head of an upload, and what follows it.
async fn sent(the: &Box, rest: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(the.running.http()).await.unwrap();
    let head = format!(
        "PUT {TUNE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n",
        the.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(rest).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = vec![];
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_too_long_or_cut_off_changes_nothing_and_leaves_the_way_free() {
    let the = Box::start("cut").await;

    let long = answer(sent(&the, b"content-length: 67108865\r\n\r\n").await).await;
    let mut chunks = b"transfer-encoding: chunked\r\n\r\n4000000\r\n".to_vec();
    chunks.resize(chunks.len() + 0x400_0000, 0);
    chunks.extend(b"\r\n1\r\n!\r\n");
    let longer = answer(sent(&the, &chunks).await).await;
    let mut cut = sent(&the, b"content-length: 8044\r\n\r\nRIFF").await;
    cut.shutdown().await.unwrap();
    let cut = answer(cut).await;

    for (answer, is) in [(long, "67108865 bytes"), (longer, "longer")] {
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        let said = format!("size: the file is {is}; 67108864 bytes (64 MiB) is the most");
        assert!(answer.contains(&said), "{answer}");
    }
    assert!(cut.is_empty() || cut.starts_with("HTTP/1.1 400"), "{cut}");
    assert_eq!(the.tune().await["source"], "configured");
    assert_eq!(the.kept(), [""; 0], "nothing is left of it");
    assert_eq!(the.put(TUNE, corpus("vorbis")).await.status(), 200);
    the.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_tune_is_changed_another_waits_for_its_turn_and_who_listens_is_answered() {
    let the = Box::start("busy").await;
    let first = sent(&the, b"content-length: 8044\r\n\r\nRIFF").await;
    while the.kept() != ["tone.audio.new"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    assert_eq!(problem(the.put(TUNE, corpus("mp3")).await).await, (503, "busy".to_owned()));
    let gone = the.asked(Method::DELETE, TUNE).send().await.unwrap();
    assert_eq!(problem(gone).await, (503, "busy".to_owned()));
    assert_eq!(the.tune().await["source"], "configured");
    drop(first);

    while the.put(TUNE, corpus("mp3")).await.status() != 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(the.tune().await["coding"], "MP3");
    assert_eq!(the.kept(), ["tone.audio"]);
    the.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_uploaded_and_is_damaged_at_the_start_is_said_and_the_configured_file_is_heard() {
    let the = Box::start("damaged").await;
    assert_eq!(the.put(TUNE, corpus("flac")).await.status(), 200);
    let kept = the.folder.join("data/music/tone.audio");
    assert_eq!(fs::read(&kept).unwrap(), corpus("flac"), "as it was sent");
    fs::write(&kept, b"fLaC and no more").unwrap();

    let the = the.start_again().await;

    let said = the.tune().await;
    assert_eq!((&said["source"], &said["coding"]), (&json!("configured"), &json!("WAV")));
    assert!(said["upload_refused"].as_str().unwrap().starts_with("damage: "), "{said}");
    let gone = the.asked(Method::DELETE, TUNE).send().await.unwrap();
    assert_eq!(gone.json::<Value>().await.unwrap()["upload_refused"], Value::Null);
    assert!(!kept.exists());
    the.end().await;
}

/// Bits as Vorbis has them: the lowest first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.0.extend((0..count).map(|bit| value >> bit & 1 == 1));
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| (0..).zip(bits).map(|(at, bit)| u8::from(*bit) << at).sum();
        self.0.chunks(8).map(byte).collect()
    }
}

/// A page of Ogg (RFC 3533 §6) with one packet of its own.
fn page(number: u32, kind: u8, packet: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(kind);
    page.extend([0; 8]);
    page.extend(7_u32.to_le_bytes());
    page.extend(number.to_le_bytes());
    page.extend([0; 4]);
    page.push(u8::try_from(packet.len() / 255 + 1).unwrap());
    page.extend(vec![255; packet.len() / 255]);
    page.push(u8::try_from(packet.len() % 255).unwrap());
    page.extend(packet);
    let sum = page.iter().fold(0_u32, |sum, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 24), |sum, _| {
            if sum >> 31 == 1 { (sum << 1) ^ 0x04C1_1DB7 } else { sum << 1 }
        })
    });
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}

/// Five kB that ask who decodes them for more than 6 GB: as many codebooks as there may be, each as large as the
/// decoder allows and written in twenty bytes (Vorbis I §3.2.1, §4.2.4).
fn bomb() -> Vec<u8> {
    let mut first = b"\x01vorbis\0\0\0\0\x01".to_vec();
    first.extend(8_000_u32.to_le_bytes());
    first.extend([0; 12]);
    first.extend([0xB8, 1]);
    let second = b"\x03vorbis\0\0\0\0\0\0\0\0\x01";
    let mut books = Bits::default();
    books.put(255, 8);
    for _ in 0..256 {
        books.put(0x56_43_42, 24);
        books.put(31, 16);
        books.put(131_072, 24);
        // All of them of 17 bits.
        books.put(1, 1);
        books.put(16, 5);
        books.put(131_072, 18);
        // One value for all of a table of 16 MB.
        books.put(1, 4);
        books.put(0, 32);
        books.put(0, 32);
        books.put(0, 4);
        books.put(0, 1);
        books.put(0, 1);
    }
    // One of everything else that has to be there: time, floor, residue, mapping, mode.
    for (value, bits) in [
        (&[0, 0][..], &[6, 16][..]),
        (&[0, 1, 0, 0, 0], &[6, 16, 5, 2, 4]),
        (&[0; 8], &[6, 16, 24, 24, 24, 6, 8, 4]),
        (&[0; 6], &[6, 16, 1, 1, 2, 24]),
        (&[0, 0, 0, 0, 0, 1], &[6, 1, 16, 16, 8, 1]),
    ] {
        value.iter().zip(bits).for_each(|(value, bits)| books.put(*value, *bits));
    }
    let third = [b"\x05vorbis".to_vec(), books.bytes()].concat();
    [page(0, 2, &first), page(1, 0, second), page(2, 0, &third), page(3, 4, &[0, 0])].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_asks_its_decoder_for_gigabytes_is_refused_by_a_process_that_may_not_have_them()
{
    let the = Box::start("bomb").await;
    assert_eq!(the.put(TUNE, corpus("flac")).await.status(), 200);
    let bomb = bomb();
    assert!(bomb.len() < 6_000, "{}", bomb.len());

    let refused = the.put(TUNE, bomb).await;

    assert_eq!(refused.status(), 422);
    let said: Value = refused.json().await.unwrap();
    let why = "memory: decoding it takes more memory than the 384 MiB that are allowed";
    assert!(said["detail"].as_str().unwrap().starts_with(why), "{said}");
    assert_eq!(the.tune().await["coding"], "FLAC");
    assert_eq!(the.kept(), ["tone.audio"]);
    the.end().await;
}

#[test]
fn who_decodes_has_little_memory_and_time_and_opens_and_writes_and_starts_nothing() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_clavija"));
    command.args(["music", "decode", "--gain-db", "-6"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let limits = format!("/proc/{}/limits", child.id());
    let limit = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(&limits).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect()
    };

    // The last one that it gives itself.
    while limit("Max processes") != ["0", "0"] {
        std::thread::sleep(Duration::from_millis(5));
    }

    assert_eq!(limit("Max address space"), ["402653184", "402653184"]);
    assert_eq!(limit("Max cpu time"), ["120", "121"]);
    assert_eq!(limit("Max realtime priority"), ["0", "0"]);
    assert_eq!(limit("Max locked memory"), ["0", "0"]);
    for none in ["Max open files", "Max file size", "Max core file size"] {
        assert_eq!(limit(none), ["0", "0"], "{none}");
    }
    let first_to_go = fs::read_to_string(format!("/proc/{}/oom_score_adj", child.id())).unwrap();
    assert_eq!(first_to_go.trim(), "1000");
    drop(child.stdin.take());
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success() && said.stdout.starts_with(b"{\"Refused\":"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_start_a_process_says_so_and_changes_nothing() {
    let the = Box::start_with("nobody", Reader::at("/nonexistent/clavija".into())).await;

    let failed = the.put(TUNE, corpus("flac")).await;

    assert_eq!(failed.status(), 500);
    let said: Value = failed.json().await.unwrap();
    let why = "the process that decodes cannot do it: No such file or directory";
    assert!(said["detail"].as_str().unwrap().starts_with(why), "{said}");
    assert_eq!(the.tune().await["source"], "configured");
    assert_eq!(the.kept(), [""; 0]);
    the.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_taken_while_uploaded_music_is_still_decoded_and_it_is_heard_when_it_is() {
    let the = Box::start("slow-music").await;
    assert_eq!(the.put(TUNE, corpus("flac")).await.status(), 200);
    let slow = the.folder.join("slow");
    let go = the.folder.join("go");
    let script = format!(
        "#!/bin/sh\nwhile ! [ -e {} ]; do sleep 0.05; done\nexec {} \"$@\"\n",
        go.display(),
        env!("CARGO_BIN_EXE_clavija")
    );
    fs::write(&slow, script).unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();

    // The bound is only there so that a fault is not a hang.
    let started = timeout(Duration::from_secs(60), the.start_again_with(Reader::at(slow))).await;
    let the = started.expect("a start that does not wait for music");

    let ready = the.bare(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 200);
    assert_eq!(the.tune().await["source"], "configured", "meanwhile");
    let busy = the.asked(Method::DELETE, TUNE).send().await.unwrap();
    assert_eq!(problem(busy).await, (503, "busy".to_owned()));
    fs::write(&go, "").unwrap();
    let after = the.tune_uploaded().await;
    assert_eq!(after["coding"], "FLAC");
    while the.asked(Method::DELETE, TUNE).send().await.unwrap().status() == 503 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(the.tune().await["source"], "configured");
    the.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_music_that_cannot_be_had_keeps_no_box_down() {
    let the = Box::start("no-folder").await;
    let folder = the.folder.join("data/music");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "a file").unwrap();

    let the = the.start_again().await;

    assert_eq!(the.tune().await["source"], "configured");
    let refused = the.put(TUNE, corpus("mp3")).await;
    assert_eq!(problem(refused).await, (500, "failed".to_owned()));
    fs::remove_file(&folder).unwrap();
    assert_eq!(the.put(TUNE, corpus("mp3")).await.status(), 200, "as soon as it can be made");
    the.end().await;
}
