//! Where the running box is asked. It writes that down itself when it has come up: its configuration
//! may name another place for the next start meanwhile.

use crate::generations;
use firmware_config::Http;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

const FILE: &str = "admin.address";

/// What stands in the file, in JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    admin: SocketAddr,
    admin_token_file: PathBuf,
}

pub(crate) fn write(data_dir: &Path, http: &Http) -> io::Result<()> {
    let written = Written { admin: http.admin, admin_token_file: http.admin_token_file.clone() };
    let half = data_dir.join(".admin.address.new");
    generations::write(&half, &serde_json::to_vec_pretty(&written).map_err(io::Error::other)?)?;
    fs::rename(half, data_dir.join(FILE))
}

/// None where no box has come up yet.
pub(crate) fn read(data_dir: &Path) -> Option<Http> {
    let bytes = fs::read(data_dir.join(FILE)).ok()?;
    let Written { admin, admin_token_file } = serde_json::from_slice(&bytes).ok()?;
    Some(Http { admin, admin_token_file })
}
