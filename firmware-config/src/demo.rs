//! The embedded configuration of `clavija demo`: one file with both halves, ports and folder filled in.

use crate::render::quoted;
use std::path::Path;

/// What the demo picked for itself; everything is on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct Demo<'a> {
    pub sip_port: u16,
    pub http_port: u16,
    /// Even; this and the next 63 are for media.
    pub first_media_port: u16,
    /// Where the built-in agent's phone listens.
    pub agent_port: u16,
    /// With what a phone of the visitor's may register as 1002.
    pub phone_password: &'a str,
    pub data_dir: &'a Path,
    /// A WAV, written before the text is loaded.
    pub music_file: &'a Path,
}

/// The text of the demo's only file, to be given to [`from_strings`](crate::from_strings).
pub fn demo_text(demo: &Demo<'_>) -> String {
    let last_media_port = demo.first_media_port.saturating_add(63);
    let texts = [
        ("\"@DATA_DIR@\"", quoted(&demo.data_dir.to_string_lossy())),
        ("\"@MUSIC_FILE@\"", quoted(&demo.music_file.to_string_lossy())),
        ("\"@PHONE_PASSWORD@\"", quoted(demo.phone_password)),
        ("@SIP_PORT@", demo.sip_port.to_string()),
        ("@HTTP_PORT@", demo.http_port.to_string()),
        ("@AGENT_PORT@", demo.agent_port.to_string()),
        ("@FIRST_MEDIA_PORT@", demo.first_media_port.to_string()),
        ("@LAST_MEDIA_PORT@", last_media_port.to_string()),
    ];
    let template = include_str!("../profiles/demo.toml").to_owned();
    texts.into_iter().fold(template, |text, (mark, value)| text.replace(mark, &value))
}
