//! Agents: their phones, and how these prove who they are.

use crate::{
    address::{Host, sip_target},
    check::{extension, name},
    codec::{self, Codec},
    dtmf::{self, Dtmf},
    fault::{Report, Reported},
    network::{self, Network},
    reader::{At, Entry, Given, Section, SourceFile, refuse_twice},
    secret::{self, Secret},
    srtp::{self, Srtp},
};
use std::net::SocketAddr;

/// One seat at the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub name: String,
    /// Digits; the user part the phone registers as and is dialled by.
    pub extension: String,
    /// With one, the phone may register.
    pub password: Option<Secret>,
    /// With one, the agent is always signed in there. Every agent has a password, a contact or both.
    pub contact: Option<Contact>,
    /// What may be agreed with their phones, of most worth first; never empty.
    pub codecs: Vec<Codec>,
    /// Comfort noise may be sent there in the place of silence.
    pub comfort_noise: bool,
    /// Whether the audio of their phones is encrypted.
    pub srtp: Srtp,
    pub dtmf: Dtmf,
}

/// A phone that does not register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The Request-URI as written.
    pub uri: String,
    /// The host and port of the URI.
    pub address: SocketAddr,
    /// It says `;transport=tcp`.
    pub tcp: bool,
    /// Where it is, by the place in [`crate::Config::networks`].
    pub network: usize,
}

/// An agent with the lines of what is compared with other agents.
pub(crate) struct Placed {
    pub(crate) agent: Agent,
    extension: At<String>,
    contact: Option<At<SocketAddr>>,
    plain_at: Option<usize>,
}

/// `networks`: `None` where they could not be read.
pub(crate) fn read(
    section: &mut Section<'_>,
    host: &Host,
    networks: Option<&[Network]>,
) -> Result<Placed, Reported> {
    let name = section.parsed("name", "ana", name);
    let name = section.required("name", name, r#""ana""#);
    let extension = section.parsed("extension", "1001", extension);
    let extension = section.required("extension", extension, r#""1001""#);
    let password = secret::read(section, "password", host);
    let contact = read_contact(section);
    let codecs = codec::read(section);
    let comfort_noise = section.flag("comfort_noise");
    let srtp = srtp::read(section);
    let dtmf = dtmf::read(section);
    let network = section.text("network", "lan");

    let (password, mut contact) = (password?, contact?);
    let network = network?;
    if let (Some(at), None) = (&network, &contact) {
        let what = "is of no use without a contact: a phone that registers is where it comes from; \
                    remove the key";
        return Err(section.refuse(at.line, "network", what));
    }
    if let (Some(contact), Some(networks)) = (&mut contact, networks) {
        let named = network.as_ref().map(|at| at.value.as_str());
        let line = network.as_ref().map_or(contact.line, |at| at.line);
        let found = network::find(networks, named, Some(contact.value.address.ip()));
        contact.value.network = found.map_err(|why| section.refuse(line, "network", &why))?;
    }
    if password.is_none() && contact.is_none() {
        let what = "has neither password nor contact, so no phone could be theirs; write password \
                    = { file = \"…\" } for a phone that registers or contact = \
                    \"sip:1001@192.0.2.10:5060\" for one that does not";
        return Err(section.refuse_table(what));
    }
    let extension = extension?;
    let agent = Agent {
        name: name?.value,
        extension: extension.value.clone(),
        password: password.as_ref().map(|read| read.secret.clone()),
        contact: contact.as_ref().map(|at| at.value.clone()),
        codecs: codecs?,
        comfort_noise: comfort_noise?.unwrap_or(false),
        srtp: srtp?,
        dtmf: dtmf?,
    };
    let contact = contact.map(|at| At { value: at.value.address, line: at.line });
    Ok(Placed { agent, extension, contact, plain_at: password.and_then(|read| read.plain_at) })
}

fn read_contact(section: &mut Section<'_>) -> Given<At<Contact>> {
    let given = section.text("contact", "sip:1001@192.0.2.10:5060")?;
    let Some(At { value: uri, line }) = given else { return Ok(None) };
    match parse_contact(&uri) {
        Ok((address, tcp)) => {
            Ok(Some(At { value: Contact { uri, address, tcp, network: 0 }, line }))
        }
        Err(why) => {
            let what = format!("{:?} {why}", without_password(&uri));
            Err(section.refuse(line, "contact", &what))
        }
    }
}

/// RFC 3261 §19.1.1, only what a fixed phone needs: user, address, port, parameters.
fn parse_contact(uri: &str) -> Result<(SocketAddr, bool), String> {
    const LIKE: &str = "write it like sip:1001@192.0.2.10:5060";
    let scheme = uri.get(..4).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("sip:") {
        return Err(format!("is not a sip: address; {LIKE}"));
    }
    let Some((user, rest)) = uri.get(4..).unwrap_or_default().split_once('@') else {
        return Err(format!("has no user; {LIKE}"));
    };
    if user.is_empty() || !user.chars().all(may_stand_in_user) {
        return Err(format!("has a user part no phone could have; {LIKE}"));
    }
    let (host, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    if parameters.contains('?') || !parameters.chars().all(|c| c.is_ascii_graphic() && c != '>') {
        return Err(format!("has headers or spaces behind the address; {LIKE}"));
    }
    let mut named = parameters.split(';').filter_map(|p| p.split_once('='));
    let transport = named.find(|(key, _)| key.eq_ignore_ascii_case("transport"));
    let tcp = transport.is_some_and(|(_, value)| value.eq_ignore_ascii_case("tcp"));
    if transport.is_some_and(|(_, value)| !tcp && !value.eq_ignore_ascii_case("udp")) {
        return Err(format!("asks for a transport not served by this version; {LIKE}"));
    }
    sip_target(host.trim_start_matches('[').trim_end_matches(']'))
        .or_else(|_| sip_target(host))
        .map(|address| (address, tcp))
        .map_err(|_| format!("does not name one reachable address after the @; {LIKE}"))
}

/// RFC 3261 §25.1: unreserved, user-unreserved, and the % of an escape. A colon would begin a password.
fn may_stand_in_user(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/%".contains(c)
}

/// Some phones' addresses are pasted with a password in them; it stays out of the message.
fn without_password(uri: &str) -> String {
    let user_and_host = uri.split_once(':').and_then(|(scheme, rest)| {
        let (user, host) = rest.rsplit_once('@')?;
        let (user, _password) = user.split_once(':')?;
        Some(format!("{scheme}:{user}:***@{host}"))
    });
    user_and_host.unwrap_or_else(|| uri.to_owned())
}

/// An extension and a phone belong to one agent: a source's exact address and port says whose it is.
pub(crate) fn refuse_shared(agents: &[Entry<Placed>], file: &SourceFile, report: &mut Report) {
    let placed = || agents.iter().filter_map(|entry| entry.content.as_ref().ok());
    refuse_twice(placed().map(|agent| &agent.extension), |twice, first| {
        let message = format!(
            "extension {:?} is given twice, first on line {first}; give each agent their own",
            twice.value
        );
        report.fault(&file.name, Some(twice.line), &message);
    });
    refuse_twice(placed().filter_map(|agent| agent.contact.as_ref()), |twice, first| {
        let message = format!(
            "contact at {} is given twice, first on line {first}; a phone belongs to one agent",
            twice.value
        );
        report.fault(&file.name, Some(twice.line), &message);
    });
}

/// One warning for all passwords in plain text, at the first of them.
pub(crate) fn warn_of_plain_passwords(
    agents: &[Entry<Placed>],
    file: &SourceFile,
    report: &mut Report,
) {
    let lines: Vec<usize> =
        agents.iter().filter_map(|entry| entry.content.as_ref().ok()?.plain_at).collect();
    if let Some(first) = lines.first() {
        let message = format!(
            "passwords in plain text: {}; who can read this file can be these phones, write \
             password = {{ file = \"…\" }} or {{ credential = \"…\" }}",
            lines.len()
        );
        report.warn(&file.name, Some(*first), &message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_a_user_at_one_reachable_address() {
        for (uri, address) in [
            ("sip:1003@127.0.0.12:5070", "127.0.0.12:5070"),
            ("SIP:desk@192.0.2.1", "192.0.2.1:5060"),
            ("sip:1@[2001:db8::1]:5070;transport=udp", "[2001:db8::1]:5070"),
            ("sip:1@[2001:db8::1]", "[2001:db8::1]:5060"),
            ("sip:1@192.0.2.1:5070;line=y;transport=tcp", "192.0.2.1:5070"),
            ("sip:1@192.0.2.1:5070;line=x", "192.0.2.1:5070"),
        ] {
            let tcp = uri.contains("tcp");
            assert_eq!(parse_contact(uri), Ok((address.parse().unwrap(), tcp)), "{uri}");
        }
    }

    #[test]
    fn what_no_call_could_be_sent_to_is_no_contact() {
        for uri in [
            "",
            "1003",
            "sips:1@192.0.2.1",
            "sip:192.0.2.1",
            "sip:@192.0.2.1",
            "sip:1@phone.example",
            "sip:1@0.0.0.0:5060",
            "sip:1@192.0.2.1:0",
            "sip:1@192.0.2.1:99999",
            "sip:1@192.0.2.1;transport=tls",
            "sip:1@192.0.2.1;a=b\r\nX: y",
            "sip:1 2@192.0.2.1",
            "sip:1:secret@192.0.2.1",
            "sip:1@192.0.2.1;x?Subject=y",
            "sipé1@192.0.2.1",
        ] {
            let why = parse_contact(uri).unwrap_err();
            assert!(why.contains("sip:1001@192.0.2.10:5060"), "{uri}: {why}");
        }
    }

    #[test]
    fn a_password_pasted_into_an_address_is_not_repeated() {
        assert_eq!(without_password("sip:1:hush@192.0.2.1"), "sip:1:***@192.0.2.1");
        assert_eq!(without_password("sip:1@192.0.2.1:5060"), "sip:1@192.0.2.1:5060");
    }
}
