//! A real softphone: baresip without sound hardware, steered over its control port (netstrings of JSON).

use crate::{
    folder::TestFolder,
    tone::{self, RATE},
    wait,
};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Long enough for any test; a file that ends would be silence.
const SPEECH_SECONDS: u64 = 120;
/// Where Debian puts them.
const MODULE_FOLDER: &str = "/usr/lib/baresip/modules";
/// Everything the calls here need, and nothing that wants a terminal or a sound card.
const MODULES: [&str; 8] =
    ["g711", "g722", "opus", "aufile", "aubridge", "sndfile", "srtp", "uuid"];

/// Who the phone is and how it speaks.
#[derive(Clone, Debug)]
pub struct Account {
    pub user: &'static str,
    pub password: &'static str,
    /// `PCMU`, `PCMA`, `G722` or `opus`.
    pub codec: &'static str,
    /// `udp` or `tcp`.
    pub transport: &'static str,
    /// Its own UDP and TCP listener; the port above is taken too.
    pub listen: SocketAddr,
    pub registrar: SocketAddr,
    /// How long a registration holds; it comes again a little before. 0: it does not register.
    pub register_seconds: u32,
    /// The tone it speaks.
    pub hz: f64,
}

/// A running baresip. Dropped, it is ended: this process and no other.
#[derive(Debug)]
pub struct Baresip {
    child: Child,
    folder: TestFolder,
    control: TcpStream,
    unread: Vec<u8>,
    events: Vec<Value>,
    /// Events that were waited for already.
    seen: usize,
}

impl Baresip {
    /// Starts it; it registers at once.
    ///
    /// # Panics
    /// If it is missing or its control port does not open.
    pub fn start(account: &Account) -> Self {
        Self::start_with(account, "")
    }

    /// The same with more parameters of its account, such as `;mediaenc=srtp-mand`.
    ///
    /// # Panics
    /// If it is missing or its control port does not open.
    pub fn start_with(account: &Account, more: &str) -> Self {
        let folder = TestFolder::new("baresip");
        let control = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), account.listen.port() + 1_000);
        write_files(&folder, account, more, control);
        let log = File::create(folder.join("log.txt")).expect("the test's folder can be written");
        let child = Command::new("baresip")
            .arg("-f")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be opened twice"))
            .stderr(log)
            .spawn()
            .expect("baresip is missing: apt-get install baresip-core");
        let control = wait::until("baresip's control port", || TcpStream::connect(control).ok());
        control.set_read_timeout(Some(Duration::from_millis(20))).expect("20 ms is a timeout");
        Self { child, folder, control, unread: vec![], events: vec![], seen: 0 }
    }

    /// A command of baresip's menu, such as `accept`, `hold`, `resume`, `hangup`, `sndcode`.
    ///
    /// # Panics
    /// If the phone has gone.
    pub fn tell(&mut self, command: &str, parameters: &str) {
        let text = json!({ "command": command, "params": parameters, "token": "t" }).to_string();
        let netstring = format!("{}:{text},", text.len());
        self.control.write_all(netstring.as_bytes()).expect("baresip listens");
    }

    /// Waits for the next event of this kind.
    ///
    /// # Panics
    /// If it does not come; says which did, and what baresip logged.
    pub fn wait_for(&mut self, kind: &str) -> Value {
        let found = wait::within(wait::PATIENCE, || {
            self.read_events();
            let next = self.events[self.seen..].iter().position(|event| event["type"] == kind)?;
            self.seen += next + 1;
            Some(self.events[self.seen - 1].clone())
        });
        found.unwrap_or_else(|| {
            let kinds: Vec<_> = self.events.iter().map(|event| &event["type"]).collect();
            panic!("baresip: no {kind} after {kinds:?}\n{}", self.log())
        })
    }

    /// Ends it and gives what it decoded from the last call, at the telephone's rate.
    ///
    /// # Panics
    /// If it heard nothing at all.
    pub fn finish(mut self) -> Vec<i16> {
        self.tell("quit", "");
        wait::until("baresip to quit", || self.child.try_wait().ok().flatten());
        let files = fs::read_dir(self.folder.path()).expect("the test's folder is there");
        let mut heard: Vec<PathBuf> = files
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        heard.sort();
        let last = heard.last().unwrap_or_else(|| panic!("baresip heard nothing\n{}", self.log()));
        let mut file = hound::WavReader::open(last).expect("baresip closed its file");
        let spec = file.spec();
        let samples: Vec<i16> =
            file.samples().collect::<Result<_, _>>().expect("the file is whole");
        // The left channel, and as many of its samples as a telephone's rate has: tones are all that is listened for.
        let step =
            usize::from(spec.channels) * usize::try_from(spec.sample_rate / RATE).expect("few");
        samples.into_iter().step_by(step).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log.txt")).unwrap_or_default()
    }

    /// Takes what has come; an incomplete netstring stays for the next time.
    fn read_events(&mut self) {
        let mut chunk = [0; 8_192];
        // Nothing to read is a timeout; a phone that is gone shows by the event that never comes.
        if let Ok(length) = self.control.read(&mut chunk) {
            self.unread.extend(&chunk[..length]);
        }
        while let Some((event, after)) = first_netstring(&self.unread) {
            let event = serde_json::from_slice(event).expect("baresip speaks JSON");
            self.events.push(event);
            self.unread.drain(..after);
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the log belongs to the report of the failure")]
            {
                eprintln!("baresip's log:\n{}", self.log());
            }
        }
        // It may have quit by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `5:hello,` and where the next one begins.
fn first_netstring(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let colon = bytes.iter().position(|&byte| byte == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let end = colon + 1 + length;
    (bytes.get(end) == Some(&b',')).then(|| (&bytes[colon + 1..end], end + 1))
}

fn write_files(folder: &TestFolder, account: &Account, more: &str, control: SocketAddr) {
    let Account { user, password, codec, transport, listen, registrar, register_seconds, hz } =
        account;
    let speech = folder.join("speech.wav");
    // baresip neither resamples nor mixes: the file is at its codec's rate, with its channels.
    let (rate, channels, named) = match *codec {
        "G722" => (16_000, 1, "G722/16000/1".to_owned()),
        "opus" => (48_000, 2, "opus/48000/2".to_owned()),
        law => (RATE, 1, format!("{law}/8000/1")),
    };
    let second = tone::second_at(rate, *hz);
    let once = second.iter().flat_map(|sample| std::iter::repeat_n(*sample, channels.into()));
    let once: Vec<i16> = once.collect();
    let samples = once.repeat(usize::try_from(SPEECH_SECONDS).expect("short"));
    tone::write_wav(&speech, channels, rate, &samples);
    let modules: String = MODULES.iter().map(|name| format!("module {name}.so\n")).collect();
    let (speech, dir) = (speech.display(), folder.path().display());
    let config = format!(
        "sip_listen {listen}\naudio_player aubridge,rec\naudio_source aufile,{speech}\n\
         audio_alert aufile,none\nsnd_path {dir}\nmodule_path {MODULE_FOLDER}\n{modules}\
         module_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen {control}\n"
    );
    // The domain is no name that anybody could resolve: everything goes to `outbound`.
    let accounts = format!(
        "<sip:{user}@clavija.test;transport={transport}>;auth_user={user};auth_pass={password};\
         outbound=\"sip:{registrar};transport={transport}\";regint={register_seconds};answermode=manual;audio_codecs={named}{more}\n"
    );
    for (name, text) in [("config", config), ("accounts", accounts), ("contacts", String::new())] {
        fs::write(folder.join(name), text).expect("the test's folder can be written");
    }
}

#[cfg(test)]
mod tests {
    use super::first_netstring;

    #[test]
    fn netstrings_are_taken_whole_or_not_at_all() {
        assert_eq!(first_netstring(b"5:hello,3:abc,"), Some((b"hello".as_slice(), 8)));
        for cut in 0..8 {
            assert_eq!(first_netstring(&b"5:hello,"[..cut]), None);
        }
    }
}
