//! Where an agent's phones are, as `GET /api/v1/agents/{name}` shows it.

use super::Agent;
use serde::Serialize;
use std::time::Instant;
use utoipa::ToSchema;

/// An agent and where their phones are.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AgentAndPhones {
    #[serde(flatten)]
    pub agent: Agent,
    /// Newest first; all of them ring.
    pub contacts: Vec<Contact>,
}

/// One phone.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Contact {
    /// As it registered, or as configured.
    #[schema(example = "sip:1001@192.0.2.7:5060")]
    pub uri: String,
    /// Where calls are sent.
    #[schema(example = "192.0.2.7:5060")]
    pub address: String,
    /// `udp` or `tcp`.
    pub transport: &'static str,
    /// The way there: `fixed` (configured), `contact` (the address it registered), `connection` (the TCP
    /// connection it made) or `nat` (back the way its REGISTER came; its contact leads nowhere from here).
    pub flow: &'static str,
    /// Where its REGISTER came from; null if it is configured.
    pub source: Option<String>,
    /// Until it has to register again; null if it is configured.
    pub expires_seconds: Option<u64>,
    /// What the phone says it is. Null if it does not, and after a restart until it registers again;
    /// so is the next.
    pub user_agent: Option<String>,
    /// By which it proved whose it is: `MD5`, `SHA-256` or `SHA-512-256`.
    pub digest: Option<&'static str>,
}

impl Contact {
    pub(super) fn at(contact: &sip_stack::Contact, now: Instant) -> Self {
        let flow = match (contact.source, contact.behind_nat, contact.to.conn) {
            (None, _, _) => "fixed",
            (Some(_), true, _) => "nat",
            (Some(_), false, Some(_)) => "connection",
            (Some(_), false, None) => "contact",
        };
        let left = |at: Instant| at.saturating_duration_since(now).as_secs();
        Self {
            uri: contact.uri.clone(),
            address: contact.to.remote.to_string(),
            transport: contact.to.transport.label(),
            flow,
            source: contact.source.map(|source| source.to_string()),
            expires_seconds: contact.expires_at.map(left),
            user_agent: contact.user_agent.clone(),
            digest: contact.digest.map(sip_stack::digest::Algorithm::name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip_stack::{ConnId, Flow};
    use std::time::Duration;

    #[test]
    fn a_phone_is_shown_with_the_way_to_it() {
        let now = Instant::now();
        let phone = sip_stack::Contact {
            uri: "sip:1001@10.0.0.5".to_owned(),
            to: Flow::udp("192.0.2.7:5060".parse().unwrap()),
            source: Some("192.0.2.7:5060".parse().unwrap()),
            expires_at: Some(now + Duration::from_secs(60)),
            behind_nat: false,
            user_agent: None,
            digest: None,
        };
        let conn = Flow::on(ConnId(1), phone.to.remote);
        let shown = |contact: &sip_stack::Contact| Contact::at(contact, now).flow;

        assert_eq!(shown(&phone), "contact");
        assert_eq!(shown(&sip_stack::Contact { behind_nat: true, ..phone.clone() }), "nat");
        assert_eq!(shown(&sip_stack::Contact { to: conn, ..phone.clone() }), "connection");
        assert_eq!(shown(&sip_stack::Contact { source: None, ..phone.clone() }), "fixed");
        assert_eq!(Contact::at(&phone, now).expires_seconds, Some(60));
    }
}
