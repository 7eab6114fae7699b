//! Which appliance a verb talks to: found by its configuration, or named.

use crate::{address, choice, client::Client, error::Failure, generations};
use clap::Args;
use firmware_config::{Host, Http, Loaded};
use nix::ifaddrs::getifaddrs;
use std::{
    env, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// Where a configuration is looked for if none is named.
const USUAL_FILES: [&str; 2] = ["node.toml", "/etc/clavija/node.toml"];

#[derive(Args, Debug)]
pub(super) struct Target {
    /// The configuration [default: ./node.toml, then /etc/clavija/node.toml].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of a running appliance, like http://127.0.0.1:8080; its token is in CLAVIJA_TOKEN.
    #[arg(long, global = true, value_name = "URL", value_parser = http_url)]
    url: Option<String>,
}

/// The API is plain HTTP; anything else would fail later and in other words.
fn http_url(text: &str) -> Result<String, String> {
    match text.strip_prefix("http://") {
        Some(host) if !host.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err("write it like http://127.0.0.1:8080".to_owned()),
    }
}

impl Target {
    /// The configuration's file.
    pub(super) fn file(&self) -> Result<PathBuf, Failure> {
        if let Some(named) = &self.config {
            return Ok(named.clone());
        }
        let found = USUAL_FILES.iter().map(PathBuf::from).find(|file| file.is_file());
        found.ok_or_else(|| {
            let [here, there] = USUAL_FILES;
            let or = match self.url {
                Some(_) => ", or put the appliance's token into CLAVIJA_TOKEN",
                None => "",
            };
            Failure::Usage(format!(
                "no configuration: neither ./{here} nor {there} is there; name one with --config{or}"
            ))
        })
    }

    /// Where the appliance is reached: where it says that it listens, whatever the operator's file or
    /// a configuration that waits for a restart say meanwhile.
    fn http(&self) -> Result<Http, Failure> {
        let file = self.file()?;
        let own = load(&file);
        let dir = match &own {
            Ok(own) => Some(own.config.node.data_dir.clone()),
            Err(_) => choice::kept_for(&file),
        };
        match dir.and_then(|dir| address::read(&dir).or_else(|| generations::held(&dir))) {
            Some(held) => Ok(held),
            None => own.map(|own| own.config.http),
        }
    }

    /// The appliance itself. What is named on the command line or in the environment needs no
    /// configuration.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let token = env::var("CLAVIJA_TOKEN").ok().filter(|token| !token.is_empty());
        if let (Some(url), Some(token)) = (&self.url, &token) {
            return Ok(Client::new(url, token));
        }
        let http = self.http()?;
        let own = reachable(http.admin);
        if let (Some(url), None) = (&self.url, &token)
            && !is_at(url, http.admin)
        {
            return Err(Failure::Usage(format!(
                "{url} is not the appliance of this configuration, which is at http://{own}; its token \
                 has to be in CLAVIJA_TOKEN"
            )));
        }
        // A name may lead elsewhere than it did when it was compared.
        let own = format!("http://{own}");
        match token {
            Some(token) => Ok(Client::new(self.url.as_deref().unwrap_or(&own), &token)),
            None => Ok(Client::new(&own, &read_token(&http.admin_token_file)?)),
        }
    }
}

/// The whole configuration, or every fault of it.
pub(super) fn load(file: &Path) -> Result<Loaded, Failure> {
    firmware_config::load(file, &host()?).map_err(Failure::InvalidConfig)
}

/// What a configuration is checked against.
pub(crate) fn host() -> Result<Host, Failure> {
    let interfaces = getifaddrs().map_err(|error| {
        Failure::Failed(format!("the addresses of this host cannot be read: {error}"))
    })?;
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    Ok(Host::with_addresses(addresses.collect()))
}

/// Who listens everywhere is reached on this host by loopback.
pub(super) fn reachable(admin: SocketAddr) -> SocketAddr {
    let ip = match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => admin.ip(),
    };
    SocketAddr::new(ip, admin.port())
}

/// Whether this is where an appliance listens: to nobody else its token is told.
fn is_at(url: &str, admin: SocketAddr) -> bool {
    let Some(host) = url.strip_prefix("http://") else { return false };
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let host = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let own = reachable(admin);
    let asked = match host.strip_prefix("localhost:") {
        Some(port) if own.ip().is_loopback() => {
            port.parse().ok().map(|p| SocketAddr::new(own.ip(), p))
        }
        Some(_) | None => host.parse().ok(),
    };
    asked.is_some_and(|asked| asked == admin || asked == own)
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        let file = file.display();
        if error.kind() == io::ErrorKind::NotFound {
            Failure::Unavailable(format!(
                "there is no token in {file}; the appliance makes it at its first start"
            ))
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            Failure::NotAllowed(format!(
                "the token in {file} may not be read by this user; become its owner or set \
                 CLAVIJA_TOKEN"
            ))
        } else {
            Failure::Failed(format!("the token in {file} cannot be read: {error}"))
        }
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appliance_that_listens_everywhere_is_asked_on_loopback() {
        for (admin, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(reachable(admin.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn the_token_of_an_appliance_is_for_its_own_address() {
        for (url, admin, own) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080", true),
            ("http://localhost:8080", "127.0.0.1:8080", true),
            ("http://[::1]:8080", "[::]:8080", true),
            ("http://192.0.2.1", "192.0.2.1:80", true),
            ("http://[2001:db8::1]", "[2001:db8::1]:80", true),
            ("http://127.0.0.1:8081", "127.0.0.1:8080", false),
            ("http://127.0.0.1:8080@192.0.2.9:8080", "127.0.0.1:8080", false),
            ("http://127.0.0.1:8080.evil.test:8080", "127.0.0.1:8080", false),
            ("http://192.0.2.9:8080", "0.0.0.0:8080", false),
            ("http://name.test:8080", "127.0.0.1:8080", false),
            ("http://localhost:8080", "192.0.2.1:8080", false),
            ("http://localhost:8081", "127.0.0.1:8080", false),
            ("http://[::1]:8080", "0.0.0.0:8080", false),
            ("http://[::1]:8080", "127.0.0.1:8080", false),
            ("http://http://127.0.0.1:8080", "127.0.0.1:8080", false),
            ("http://127.0.0.1:8080", "0.0.0.0:8080", true),
        ] {
            assert_eq!(is_at(url, admin.parse().unwrap()), own, "{url} {admin}");
        }
    }

    #[test]
    fn a_token_that_is_not_there_means_that_nothing_runs() {
        let failure = read_token(Path::new("/nowhere/admin.token")).unwrap_err();

        assert_eq!(failure.exit_code(), 5, "{failure}");
    }
}
