//! A folder of its own for each test, and a small WAV.

use firmware_config::{Fault, Host, Loaded};
use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Removed when the test ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("clavija-config-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The contract's two files and a tune where they name one.
    pub(crate) fn with_contract() -> Self {
        let folder = Self::new();
        folder.write("node.toml", contract("node.toml"));
        folder.write("site.toml", contract("site.toml"));
        folder.write("music/waltz.wav", wav());
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Replaces the one place where `old` stands in `name`.
    pub(crate) fn edit(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.0.join(name)).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {name}");
        self.write(name, text.replace(old, new));
    }

    pub(crate) fn load(&self) -> Result<Loaded, Vec<Fault>> {
        firmware_config::load(&self.0.join("node.toml"), &loopback_host())
    }

    /// The faults as printed, with the folder's own name left out.
    pub(crate) fn faults(&self) -> Vec<String> {
        let faults = self.load().expect_err("the configuration should be refused");
        let here = format!("{}/", self.0.display());
        faults.iter().map(|fault| fault.to_string().replace(&here, "")).collect()
    }

    /// The only fault.
    pub(crate) fn fault(&self) -> String {
        let mut faults = self.faults();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        faults.remove(0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind lies in the temporary folder and harms nobody.
        _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn contract(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/contract");
    fs::read_to_string(folder.join(name)).unwrap()
}

pub(crate) fn loopback_host() -> Host {
    Host { addresses: vec!["127.0.0.1".parse().unwrap()], credentials: None }
}

/// A second of a quiet saw at 8 kHz, 16 bits, one channel.
pub(crate) fn wav() -> Vec<u8> {
    let samples: Vec<u8> = (0..8000_i16).flat_map(|n| (n % 80 * 20).to_le_bytes()).collect();
    let data_bytes = u32::try_from(samples.len()).unwrap();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(8000_u32.to_le_bytes());
    bytes.extend(16_000_u32.to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend(data_bytes.to_le_bytes());
    bytes.extend(samples);
    bytes
}
