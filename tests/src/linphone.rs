//! A second real SIP phone of other parentage: linphonec, which speaks and hears through files.

use crate::{
    folder::TestFolder,
    tone::{self, RATE},
    wait,
};
use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
};

const SPEECH_SECONDS: usize = 120;

/// A running linphonec. Dropped, it is ended: this process and no other.
#[derive(Debug)]
pub struct Linphone {
    child: Child,
    prompt: ChildStdin,
    folder: TestFolder,
}

impl Linphone {
    /// Starts it at the UDP port `port` of every address; it registers `user` at once.
    ///
    /// # Panics
    /// If it is missing.
    pub fn start(port: u16, registrar: SocketAddr, user: &str, password: &str, hz: f64) -> Self {
        Self::start_by("MD5", port, registrar, user, password, hz)
    }

    /// The same; its owner has chosen by which digest it proves who it is.
    ///
    /// # Panics
    /// If it is missing.
    pub fn start_by(
        digest: &str,
        port: u16,
        registrar: SocketAddr,
        user: &str,
        password: &str,
        hz: f64,
    ) -> Self {
        let folder = TestFolder::new("linphone");
        for data in [".local/share/linphone", ".config/linphone"] {
            fs::create_dir_all(folder.join(data)).expect("the test's folder can be written");
        }
        let rate = usize::try_from(RATE).expect("a rate fits");
        let speech = folder.join("speech.wav");
        tone::write_wav(&speech, 1, RATE, &tone::sine(hz, 0, SPEECH_SECONDS * rate));
        let settings = folder.join("linphonerc");
        fs::write(&settings, settings_of(digest, port, registrar, user, password))
            .expect("the test's folder can be written");
        let log = File::create(folder.join("log.txt")).expect("the test's folder can be written");
        let mut child = Command::new("linphonec")
            .arg("-c")
            .arg(&settings)
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file can be opened twice"))
            .stderr(log)
            .spawn()
            .expect("linphonec is missing: apt-get install linphone-cli");
        let prompt = child.stdin.take().expect("stdin was piped");
        let mut phone = Self { child, prompt, folder };
        phone.tell("soundcard use files");
        phone.tell(&format!("play {}", speech.display()));
        let heard = phone.folder.join("heard.wav");
        phone.tell(&format!("record {}", heard.display()));
        phone
    }

    /// A line at its prompt, such as `answer` or `terminate`.
    ///
    /// # Panics
    /// If the phone has gone.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.prompt, "{line}").expect("linphonec reads its prompt");
    }

    /// Waits until it has written this.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_for(&self, text: &str) {
        let found = wait::within(wait::PATIENCE, || self.log().contains(text).then_some(()));
        assert!(found.is_some(), "linphonec never wrote {text:?}\n{}", self.log());
    }

    /// Ends it and gives what it heard.
    ///
    /// # Panics
    /// If it heard nothing at all.
    pub fn finish(mut self) -> Vec<i16> {
        self.tell("quit");
        wait::until("linphonec to quit", || self.child.try_wait().ok().flatten());
        let mut file = hound::WavReader::open(self.folder.join("heard.wav"))
            .unwrap_or_else(|error| panic!("linphonec heard nothing: {error}\n{}", self.log()));
        assert_eq!(file.spec().sample_rate, RATE);
        // Its header promises more than it has written by then.
        file.samples().map_while(Result::ok).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log.txt")).unwrap_or_default()
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the log belongs to the report of the failure")]
            {
                eprintln!("linphonec's log:\n{}", self.log());
            }
        }
        // It may have quit by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn settings_of(
    digest: &str,
    port: u16,
    registrar: SocketAddr,
    user: &str,
    password: &str,
) -> String {
    format!(
        "[sip]\nsip_port={port}\nsip_tcp_port=0\nsip_tls_port=0\nuse_ipv6=0\ndefault_proxy=0\n\
         guess_hostname=1\nregister_only_when_network_is_up=0\n\
         [net]\nmtu=1300\n\
         [rtp]\naudio_rtp_port={}\n\
         [proxy_0]\nreg_proxy=<sip:{registrar}>\nreg_route=<sip:{registrar};lr>\n\
         reg_identity=sip:{user}@clavija.test\nreg_expires=120\nreg_sendregister=1\npublish=0\n\
         [auth_info_0]\nusername={user}\npasswd={password}\nrealm=clavija.test\nalgorithm={digest}\n\
         [audio_codec_0]\nmime=PCMA\nrate=8000\nchannels=1\nenabled=1\n\
         [audio_codec_1]\nmime=PCMU\nrate=8000\nchannels=1\nenabled=1\n",
        port + 2_000
    )
}
