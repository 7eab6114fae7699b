//! Decoding what somebody sent, in a process of its own: a few kB of Vorbis can ask their decoder for 4 GB,
//! and calls must not pay for it (ADR 0029).
//!
//! The process is this program once more, `clavija music decode`: the file is its standard input, and what it
//! says is a line of JSON, and behind that the samples.

use super::UPLOAD_BYTES_MAX;
use media_core::music::{Gain, Pcm, Sound, Tune};
use nix::sys::{
    prctl::set_pdeathsig,
    resource::{Resource, setrlimit},
    signal::Signal,
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::{
        fd::AsFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
};

/// What a file holds, for who asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    pub coding: Cow<'static, str>,
    pub rate_hz: u32,
    pub channels: usize,
    pub seconds: f32,
    /// None: nothing can be heard.
    pub loudness_dbfs: Option<f32>,
    pub peak_dbfs: f32,
    pub warnings: Vec<String>,
}

impl From<&Sound> for Heard {
    fn from(sound: &Sound) -> Self {
        Self {
            coding: Cow::Borrowed(sound.coding),
            rate_hz: sound.rate_hz,
            channels: sound.channels,
            seconds: sound.seconds,
            loudness_dbfs: sound.loudness_dbfs,
            peak_dbfs: sound.peak_dbfs,
            warnings: sound.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Why there is no tune.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// Of the file; `check` is the one it failed.
    #[error("{check}: {why}")]
    Refused { check: Cow<'static, str>, why: String },
    /// Of this host.
    #[error("the process that decodes cannot do it: {0}")]
    Broken(#[from] io::Error),
}

/// Whom to start.
#[derive(Clone, Debug)]
pub struct Reader {
    program: PathBuf,
}

impl Reader {
    /// This very program, whatever stands at its path by now.
    pub fn own() -> Self {
        Self::at("/proc/self/exe".into())
    }

    /// Another `clavija`.
    pub const fn at(program: PathBuf) -> Self {
        Self { program }
    }

    /// Takes as long as the file needs: [`CPU_SECONDS_MAX`] of a core at the most.
    pub(super) fn read(&self, file: File, gain: Gain) -> Result<(Tune, Heard), NotRead> {
        let mut child = Command::new(&self.program)
            .arg0("clavija")
            .args(["music", "decode", "--gain-db", &gain.db().to_string()])
            .env_clear()
            .stdin(file)
            .stdout(Stdio::piped())
            // What an allocator or a panic says there is told below in an operator's words.
            .stderr(Stdio::null())
            .spawn()?;
        let said = child.stdout.take().map(|out| take(BufReader::new(out)));
        let status = child.wait()?;
        if !status.success() {
            return Err(died(status));
        }
        let nothing = || io::Error::new(io::ErrorKind::BrokenPipe, "it said nothing");
        let (pcm, heard) = said.ok_or_else(nothing)??;
        Ok((pcm.into(), heard))
    }
}

fn died(status: ExitStatus) -> NotRead {
    let refused = |check, why: String| NotRead::Refused { check: Cow::Borrowed(check), why };
    match status.signal().map(Signal::try_from) {
        Some(Ok(Signal::SIGXCPU)) => refused(
            "time",
            format!(
                "decoding it takes longer than {CPU_SECONDS_MAX} s; write it anew with two channels or \
                 one, at 48000 Hz or less"
            ),
        ),
        // An allocation that is refused aborts; SIGKILL comes from a host that has no memory left.
        Some(Ok(Signal::SIGABRT | Signal::SIGKILL)) => refused(
            "memory",
            format!(
                "decoding it takes more memory than the {} MiB that are allowed; write it anew from \
                 where it comes from",
                MEMORY_BYTES_MAX >> 20
            ),
        ),
        Some(Ok(signal)) => refused("damage", format!("its decoder died of {signal}")),
        Some(Err(_)) | None => NotRead::Broken(io::Error::other(status.to_string())),
    }
}

/// The line before the samples.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    /// And how many samples follow, of two bytes, little end first: at 16, and then at 8 kHz.
    Read {
        heard: Heard,
        wide: usize,
        narrow: usize,
    },
    Refused {
        check: Cow<'static, str>,
        why: String,
    },
}

fn take(mut from: impl BufRead) -> Result<(Pcm, Heard), NotRead> {
    let mut line = vec![];
    from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    match serde_json::from_slice(&line).map_err(io::Error::other)? {
        Said::Refused { check, why } => Err(NotRead::Refused { check, why }),
        Said::Read { heard, wide, narrow } => {
            let (wide, narrow) = (samples(&mut from, wide)?, samples(&mut from, narrow)?);
            let odd = || io::Error::new(io::ErrorKind::InvalidData, "it gave no whole tune");
            Ok((Pcm::new(wide, narrow).ok_or_else(odd)?, heard))
        }
    }
}

/// So many, or fewer where the other side ends before.
fn samples(from: &mut impl BufRead, count: usize) -> io::Result<Vec<i16>> {
    let count = count.min(Pcm::WIDE_MAX);
    let mut from = from.take(2 * count as u64);
    let mut samples = Vec::with_capacity(count);
    let mut odd = None;
    loop {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return Ok(samples);
        }
        let length = bytes.len();
        let (first, rest) = match (odd.take(), bytes) {
            (Some(low), [high, rest @ ..]) => (Some([low, *high]), rest),
            (_, bytes) => (None, bytes),
        };
        let (pairs, left) = rest.as_chunks::<2>();
        samples.extend(first.iter().chain(pairs).map(|pair| i16::from_le_bytes(*pair)));
        odd = left.first().copied();
        from.consume(length);
    }
}

/// What the process does: `clavija music decode`.
pub(crate) fn decode(gain: Gain) -> io::Result<()> {
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    confine()?;
    let mut bytes = Vec::new();
    file.take(UPLOAD_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match Pcm::import(&bytes, gain) {
        Err(bad) => {
            let check = Cow::Borrowed(bad.check());
            say(&mut out, &Said::Refused { check, why: bad.to_string() })?;
        }
        Ok((pcm, sound)) => {
            let (wide, narrow) = (pcm.wide(), pcm.narrow());
            let heard = Heard::from(&sound);
            say(&mut out, &Said::Read { heard, wide: wide.len(), narrow: narrow.len() })?;
            for sample in wide.iter().chain(narrow) {
                out.write_all(&sample.to_le_bytes())?;
            }
        }
    }
    out.flush()
}

fn say(out: &mut impl Write, what: &Said) -> io::Result<()> {
    serde_json::to_writer(&mut *out, what)?;
    out.write_all(b"\n")
}

/// From here on this process has so much memory and time, gets no descriptor, no byte into a file, no process and no
/// priority, and ends with who started it.
fn confine() -> io::Result<()> {
    // Where memory runs out on the host it goes first. Who may not ask for that is limited all the same.
    let _kept = fs::write("/proc/self/oom_score_adj", "1000");
    set_pdeathsig(Signal::SIGKILL)?;
    for (what, most) in [
        (Resource::RLIMIT_AS, MEMORY_BYTES_MAX),
        (Resource::RLIMIT_CPU, CPU_SECONDS_MAX),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NOFILE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_NPROC, 0),
    ] {
        // A CPU's hard limit would kill without a word at the same moment.
        let hard = if what == Resource::RLIMIT_CPU { most + 1 } else { most };
        setrlimit(what, most, hard)?;
    }
    Ok(())
}

/// The file, an hour at both rates in vectors that have just grown, this program's own code, and some room for
/// tables of a decoder.
const MEMORY_BYTES_MAX: u64 = 384 * 1024 * 1024;
/// Ten times an hour of music on the host this was measured on.
const CPU_SECONDS_MAX: u64 = 120;
/// Words about a file.
const LINE_BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn heard() -> Heard {
        Heard {
            coding: "WAV".into(),
            rate_hz: 8_000,
            channels: 1,
            seconds: 1.0,
            loudness_dbfs: None,
            peak_dbfs: -3.0,
            warnings: vec![],
        }
    }

    fn said(wide: usize, narrow: usize, bytes: &[u8]) -> Vec<u8> {
        let mut all = vec![];
        say(&mut all, &Said::Read { heard: heard(), wide, narrow }).unwrap();
        all.extend(bytes);
        all
    }

    #[test]
    fn samples_come_as_they_were_however_the_pipe_cuts_them() {
        let bytes: Vec<u8> = (0..=254).cycle().take(2 * (642 + 321)).collect();
        let all = said(642, 321, &bytes);

        for capacity in [1, 2, 3, 7, 4096] {
            let (pcm, same) = take(BufReader::with_capacity(capacity, &*all)).unwrap();

            let given = pcm.wide().iter().chain(pcm.narrow()).flat_map(|s| s.to_le_bytes());
            assert!(given.eq(bytes.iter().copied()), "{capacity}");
            assert_eq!((pcm.wide().len(), same), (642, heard()));
        }
    }

    #[test]
    fn what_is_cut_off_or_no_answer_is_a_fault_of_the_host_and_not_of_the_file() {
        for wrong in [
            said(642, 321, &[0; 2 * 642]),
            said(642, 100, &[0; 2 * 742]),
            said(usize::MAX, usize::MAX, &[0; 4]),
            said(0, 0, &[]),
            b"{}\n".to_vec(),
            vec![],
            vec![b'['; 200_000],
        ] {
            let error = take(&*wrong).unwrap_err();
            assert!(matches!(error, NotRead::Broken(_)), "{error}");
        }
    }

    #[test]
    fn how_it_died_is_said_as_the_check_that_the_file_failed() {
        for (signal, begins) in [
            (Signal::SIGXCPU, "time: decoding it takes longer than 120 s; "),
            (Signal::SIGABRT, "memory: decoding it takes more memory than the 384 MiB "),
            (Signal::SIGSEGV, "damage: its decoder died of SIGSEGV"),
        ] {
            let said = died(ExitStatus::from_raw(signal as i32)).to_string();
            assert!(said.starts_with(begins), "{said}");
        }
        let refused_to_start = died(ExitStatus::from_raw(1 << 8));
        assert!(matches!(refused_to_start, NotRead::Broken(_)), "{refused_to_start}");
    }
}
