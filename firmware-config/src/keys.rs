//! Every key there is: what it takes, what it is if left out, whether it changes under running
//! calls. The schema, the tags of a difference and the manual are made from this; a test holds it
//! against what the reader asks for.

use crate::codec;
use media_core::music::Gain;

/// One table of the files.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// May come many times: `[[trunk]]`.
    pub(crate) many: bool,
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [Key],
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    pub(crate) left_out: LeftOut,
    pub(crate) change: Change,
    pub(crate) about: &'static str,
}

/// What a value may be.
#[derive(Debug)]
pub(crate) enum Takes {
    /// Text like this.
    Text(&'static str),
    /// Texts like this one.
    Texts(&'static str),
    /// Words of a fixed set.
    Word(&'static [&'static str]),
    Words(&'static [&'static str]),
    Whole {
        from: u32,
        to: u32,
        unit: &'static str,
    },
    /// With or without a point.
    Decimal {
        from: i16,
        to: i16,
        unit: &'static str,
    },
    /// Whole numbers, each once.
    Wholes {
        from: u32,
        to: u32,
    },
    Flag,
    Secret,
    /// One of four ways a call may go.
    Closed,
    /// Known, and refused with a reason.
    Nothing,
}

/// What an absent key means.
#[derive(Debug)]
pub(crate) enum LeftOut {
    Refused,
    /// A value as JSON writes it.
    Is(&'static str),
    /// Off, nobody, or what another key says.
    Means(&'static str),
}

/// How a new value takes hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// At once; calls that go on keep what they began with.
    Live,
    /// With the next start.
    Restart,
}

impl Change {
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
        }
    }
}

const fn key(
    name: &'static str,
    takes: Takes,
    left_out: LeftOut,
    change: Change,
    about: &'static str,
) -> Key {
    Key { name, takes, left_out, change, about }
}

use Change::{Live, Restart};
use LeftOut::{Is, Means, Refused};
use Takes::{Closed, Decimal, Flag, Nothing, Secret, Text, Texts, Whole, Wholes, Word, Words};

const COMFORT_NOISE: &str = "Long silence beside G.711 is sent as comfort noise (RFC 3389) where the far side agrees, not as frames.";
const SRTP: &str = "Whether audio is encrypted (SRTP, keys by SDES): off, optional where the other side offers it, or \
                    required; what we offer is encrypted with required only.";
const NAME: &str = "1 to 64 of the letters a to z, digits, dot, dash and underscore";

/// Each has memory for all legs, and a way to each other one.
pub(crate) const THREADS_MAX: u32 = 16;
pub(crate) const OPUS_COMPLEXITY_MAX: u32 = 10;

/// As many as a set of the kernel's holds.
pub(crate) const CPU_MAX: u32 = 1023;

/// The one value of `schema`.
pub(crate) const SCHEMA_VALUE: &str = "clavija/v1";

pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "node",
        many: false,
        about: "The box itself.",
        keys: &[
            key("name", Text("edge-1"), Refused, Restart, "The box's name, as CDRs have it."),
            key(
                "data_dir",
                Text("data"),
                Refused,
                Restart,
                "Journal, CDRs, generations of the configuration, token; made at the first start.",
            ),
            key(
                "site",
                Text("site.toml"),
                Means("both halves stand in one file"),
                Restart,
                "The file that says how calls flow.",
            ),
            key(
                "drain_seconds",
                Whole { from: 0, to: 3600, unit: "seconds" },
                Is("30"),
                Restart,
                "How long calls may go on after SIGTERM.",
            ),
        ],
    },
    Table {
        name: "sip",
        many: false,
        about: "Where trunks and phones are heard.",
        keys: &[
            key(
                "udp",
                Text("0.0.0.0:5060"),
                Is("\"0.0.0.0:5060\""),
                Restart,
                "Address and port of SIP over UDP.",
            ),
            key(
                "advertise",
                Text("203.0.113.10:5060"),
                Means("the bound address"),
                Restart,
                "What Via and Contact name; required where udp is a wildcard and the host has several \
                 addresses.",
            ),
            key(
                "domain",
                Text("pbx.example.com"),
                Refused,
                Restart,
                "Phones register as sip:EXTENSION@DOMAIN; also the realm of the challenge.",
            ),
            key(
                "tcp",
                Text("0.0.0.0:5060"),
                Means("the address of sip.udp"),
                Restart,
                "Address and port of SIP over TCP.",
            ),
            key("tls", Text("0.0.0.0:5061"), Means("off"), Restart, "SIP over TLS."),
            key("certificate", Text("sip.pem"), Means("none"), Restart, "For sip.tls."),
            key("key", Text("sip.key"), Means("none"), Restart, "For sip.tls."),
        ],
    },
    Table {
        name: "media",
        many: false,
        about: "Where audio comes and goes.",
        keys: &[
            key(
                "address",
                Text("192.0.2.10"),
                Means("the address of sip.udp"),
                Restart,
                "Where RTP and RTCP are heard.",
            ),
            key(
                "advertise",
                Text("203.0.113.10"),
                Means("the bound address"),
                Restart,
                "What session descriptions name.",
            ),
            key(
                "ports",
                Text("20000-29999"),
                Is("\"20000-29999\""),
                Restart,
                "From an even port to an odd one; every party of a call takes two.",
            ),
            key(
                "threads",
                Whole { from: 1, to: THREADS_MAX, unit: "threads" },
                Is("1"),
                Restart,
                "Media threads; a conversation lives on one of them.",
            ),
            key(
                "cpus",
                Wholes { from: 0, to: CPU_MAX },
                Means("the media threads run on any core"),
                Restart,
                "The cores the media threads are pinned to, one for each.",
            ),
            key(
                "lateness_ms_max",
                Whole { from: 1, to: 1_000, unit: "milliseconds" },
                Is("20"),
                Restart,
                "How late one tick of a thousand may be; beyond, new calls are refused with 503.",
            ),
            key(
                "load_percent_max",
                Whole { from: 1, to: 100, unit: "percent" },
                Is("70"),
                Restart,
                "How much of its time a media thread may work; beyond, new calls are refused with 503.",
            ),
            key(
                "opus_complexity",
                Whole { from: 0, to: OPUS_COMPLEXITY_MAX, unit: "steps" },
                Is("5"),
                Restart,
                "What an encoder of Opus may spend on a frame; none spends anything while its thread is pressed.",
            ),
        ],
    },
    Table {
        name: "http",
        many: false,
        about: "Where the API and the metrics are served.",
        keys: &[
            key(
                "admin",
                Text("127.0.0.1:8080"),
                Is("\"127.0.0.1:8080\""),
                Restart,
                "API, metrics, health.",
            ),
            key(
                "admin_token_file",
                Text("data/admin.token"),
                Means("admin.token in node.data_dir"),
                Restart,
                "The administrator's token; made at the first start, mode 0600.",
            ),
            key("agents", Text("0.0.0.0:8443"), Means("off"), Restart, "HTTPS for agents."),
            key("public", Text("127.0.0.1:8081"), Means("off"), Restart, "HTTP for webhooks."),
            key("certificate", Text("http.pem"), Means("none"), Restart, "For http.agents."),
            key("key", Text("http.key"), Means("none"), Restart, "For http.agents."),
        ],
    },
    Table {
        name: "recording",
        many: false,
        about: "Where recordings lie, and who can hear them.",
        keys: &[
            key(
                "dir",
                Text("data/recordings"),
                Means("recordings in node.data_dir"),
                Restart,
                "One file a call, named by its id.",
            ),
            key(
                "format",
                Word(&["wav", "opus"]),
                Is("\"wav\""),
                Restart,
                "What a recording is, sealed or not: WAV, or Opus in Ogg, a sixth as large.",
            ),
            key(
                "seal_key",
                Secret,
                Means("recordings are not sealed"),
                Restart,
                "With one they are sealed: 64 hexadecimal digits.",
            ),
        ],
    },
    Table {
        name: "limits",
        many: false,
        about: "How much is heard of strangers, and how long who misbehaves is not heard.",
        keys: &[
            key(
                "strangers_per_second",
                Whole { from: 1, to: 100_000, unit: "REGISTERs per second" },
                Is("1000"),
                Restart,
                "REGISTERs of phones that are not registered yet, all together.",
            ),
            key(
                "stranger_per_second",
                Whole { from: 1, to: 10_000, unit: "messages per second" },
                Is("20"),
                Restart,
                "Messages of one address (IPv6: one /64) that is no phone and no trunk; twice as many at \
                 once.",
            ),
            key(
                "wrong_passwords_max",
                Whole { from: 1, to: 1_000, unit: "passwords" },
                Is("20"),
                Restart,
                "Wrong passwords from one address in a minute; then it is banned.",
            ),
            key(
                "ban_seconds",
                Whole { from: 1, to: 86_400, unit: "seconds" },
                Is("600"),
                Restart,
                "The first ban for wrong passwords; each further one is twice as long.",
            ),
            key(
                "ban_seconds_max",
                Whole { from: 1, to: 2_592_000, unit: "seconds" },
                Is("86400"),
                Restart,
                "The longest ban.",
            ),
        ],
    },
    Table {
        name: "trunk",
        many: true,
        about: "A carrier or another exchange, known by its addresses: peers, address or both.",
        keys: &[
            key("name", Text("carrier"), Refused, Live, NAME),
            key(
                "peers",
                Texts("203.0.113.0/24"),
                Is("[]"),
                Live,
                "Who may call without a challenge: addresses or networks, from any port.",
            ),
            key(
                "address",
                Text("203.0.113.7:5060"),
                Means("it only calls us"),
                Live,
                "Where calls to it are sent.",
            ),
            key(
                "transport",
                Word(&["udp", "tcp"]),
                Is("\"udp\""),
                Live,
                "What calls to it go by; it may call by either.",
            ),
            key(
                "calls_max",
                Whole { from: 1, to: 1_000_000, unit: "calls" },
                Refused,
                Live,
                "Calls at once in both directions; more get 503 with Retry-After.",
            ),
            key(
                "calls_per_second_max",
                Whole { from: 1, to: 10_000, unit: "calls per second" },
                Means("as many as come"),
                Live,
                "New calls a second in both directions; more get 503 with Retry-After.",
            ),
            key(
                "pstn",
                Flag,
                Is("true"),
                Live,
                "It breaks out to the telephone network: rows that lead to it are open to agents only, \
                 unless from names trunks.",
            ),
            key("srtp", Word(&["off", "optional", "required"]), Is("\"off\""), Live, SRTP),
            DTMF,
            key(
                "codecs",
                Words(codec::WORDS),
                Is("[\"opus\", \"g722\", \"pcma\", \"pcmu\"]"),
                Live,
                "What may be agreed with it; what the other side of a call speaks is offered first.",
            ),
            key("comfort_noise", Flag, Is("false"), Live, COMFORT_NOISE),
            key(
                "network",
                Text("lan"),
                Means("the first network"),
                Live,
                "The [[network]] it is in: its addresses are those there, and its calls leave by it.",
            ),
        ],
    },
    Table {
        name: "network",
        many: true,
        about: "One of several networks. Where sip says no address they are all there are, else more beside it.",
        keys: &[
            key("name", Text("lan"), Refused, Restart, NAME),
            key(
                "sip",
                Text("192.0.2.10:5060"),
                Refused,
                Restart,
                "Address and port of SIP there, over UDP and TCP.",
            ),
            key(
                "media",
                Text("192.0.2.10"),
                Means("the address of sip"),
                Restart,
                "Where RTP and RTCP are heard there, on an equal share of media.ports.",
            ),
            key(
                "advertise",
                Text("203.0.113.10"),
                Means("the bound address"),
                Restart,
                "What Via, Contact and session descriptions name there; behind a 1:1 NAT its outer address.",
            ),
            key(
                "interface",
                Text("eth0.100"),
                Means("as the routes lead"),
                Restart,
                "Packets of this network come and go by this interface alone, a VLAN's for example.",
            ),
        ],
    },
    Table {
        name: "agent",
        many: true,
        about: "One seat and its phones: a password, a contact or both.",
        keys: &[
            key("name", Text("ana"), Refused, Live, NAME),
            key(
                "extension",
                Text("1001"),
                Refused,
                Live,
                "1 to 15 digits: what the phone registers as and is dialled by.",
            ),
            key(
                "password",
                Secret,
                Means("the phone may not register"),
                Live,
                "With one the phone may register.",
            ),
            key(
                "contact",
                Text("sip:1001@192.0.2.10:5060"),
                Means("the phone registers"),
                Live,
                "With one the phone is reached there and always signed in; ;transport=tcp is understood.",
            ),
            key(
                "network",
                Text("lan"),
                Means("the first network"),
                Live,
                "The [[network]] the contact is in; a phone that registers is where it comes from.",
            ),
            key(
                "codecs",
                Words(codec::WORDS),
                Is("[\"opus\", \"g722\", \"pcma\", \"pcmu\"]"),
                Live,
                "What may be agreed with their phones; what the other side of a call speaks is offered first.",
            ),
            key("comfort_noise", Flag, Is("false"), Live, COMFORT_NOISE),
            key("srtp", Word(&["off", "optional", "required"]), Is("\"off\""), Live, SRTP),
            DTMF,
        ],
    },
    Table {
        name: "music",
        many: true,
        about: "A tune by its name.",
        keys: &[
            key("name", Text("waltz"), Refused, Restart, NAME),
            key(
                "file",
                Text("music/waltz.wav"),
                Refused,
                Restart,
                "WAV, MP3, FLAC, or Ogg with Vorbis or FLAC, of any rate and channels.",
            ),
            key(
                "gain_db",
                Decimal { from: Gain::DB_MIN, to: Gain::DB_MAX, unit: "decibels" },
                Is("0"),
                Restart,
                "How much louder it is made, or softer; what is uploaded for it too.",
            ),
        ],
    },
    Table {
        name: "hours",
        many: true,
        about: "When somebody is there: a week, its holidays and exceptions, by the clock of a place.",
        keys: &[
            key("name", Text("office"), Refused, Live, NAME),
            key(
                "time_zone",
                Text("America/Argentina/Buenos_Aires"),
                Refused,
                Live,
                "Whose clock it goes by, daylight saving included: a name of the IANA database, which is built in.",
            ),
            key(
                "weekly",
                Texts("mon-fri 09:00-18:00"),
                Is("[]"),
                Live,
                "Days and times; an end that is not later than its beginning is on the next day, 24:00 the end of a day.",
            ),
            key(
                "holidays",
                Texts("12-25 Christmas"),
                Is("[]"),
                Live,
                "Closed all day: a date of every year or of one (2026-12-26), and a name if you like.",
            ),
            key(
                "exceptions",
                Texts("2026-12-24 09:00-12:00 Christmas Eve"),
                Is("[]"),
                Live,
                "What holds on one date in the place of week and holidays: times, or closed, and a name if you like.",
            ),
        ],
    },
    Table {
        name: "team",
        many: true,
        about: "Agents who answer one queue.",
        keys: &[
            key("name", Text("support"), Refused, Live, NAME),
            key("agents", Texts("ana"), Refused, Live, "Who answers; at least one, none twice."),
            key(
                "channels",
                Words(&["sip", "whatsapp"]),
                Is("[\"sip\"]"),
                Live,
                "Whose callers it takes.",
            ),
            key(
                "strategy",
                Word(&["longest-idle"]),
                Is("\"longest-idle\""),
                Live,
                "Who is rung first.",
            ),
            key("music", Text("waltz"), Means("silence"), Live, "What its callers wait to."),
            key(
                "ring_seconds",
                Whole { from: 1, to: 600, unit: "seconds" },
                Is("20"),
                Live,
                "How long one agent is rung.",
            ),
            key(
                "wrap_up_seconds",
                Whole { from: 0, to: 86_400, unit: "seconds" },
                Is("0"),
                Live,
                "How long an agent is left alone after a call.",
            ),
            key(
                "set_aside_seconds",
                Whole { from: 0, to: 86_400, unit: "seconds" },
                Is("30"),
                Live,
                "How long who did not take an offer is left alone; 0 is until told.",
            ),
            key(
                "record",
                Flag,
                Is("false"),
                Live,
                "Whether talks are recorded, from the first bridge to the end of the call.",
            ),
            key(
                "mask_digits",
                Flag,
                Is("false"),
                Live,
                "Which keys are pressed in its calls stands in no story, journal, log or event, and their \
                 tones in no recording.",
            ),
            key(
                "answer",
                Word(&["at_once", "with_agent"]),
                Is("\"at_once\""),
                Live,
                "200 with music, or music before the answer: waiting is not billed. The message of closed is heard the \
                 same way.",
            ),
            key(
                "hours",
                Text("office"),
                Means("always"),
                Live,
                "When it takes calls; who waits stays.",
            ),
            key(
                "closed",
                Closed,
                Means("480"),
                Live,
                "Where calls go out of hours, and where nobody is signed in: a message (a tune of [[music]], heard to \
                 its end), a team, an agent or a trunk.",
            ),
        ],
    },
    Table {
        name: "number",
        many: true,
        about: "What can be dialled: leads to exactly one of team, agent and trunk.",
        keys: &[
            key(
                "number",
                Text("+541155550100"),
                Refused,
                Live,
                "Digits, perhaps after a +; ? is one digit, a final * any rest. Exact numbers come first, \
                 then the pattern with most literal digits.",
            ),
            key("from", Texts("carrier"), Means("everybody"), Live, "Trunks that may dial it."),
            key(
                "record",
                Flag,
                Means("as the team says"),
                Live,
                "Whether talks of this number are recorded.",
            ),
            key("team", Text("support"), Means("another way"), Live, "Leads to its queue."),
            key("agent", Text("ana"), Means("another way"), Live, "Leads to one agent."),
            key("trunk", Text("pbx"), Means("another way"), Live, "Is passed on to a trunk."),
            key("hours", Text("office"), Means("always"), Live, "When it takes calls."),
            key(
                "closed",
                Closed,
                Means("480"),
                Live,
                "Where its calls go out of hours: a message, a team, an agent or a trunk. A message of a number that \
                 leads to no team is heard before the answer.",
            ),
            key("flow", Nothing, Means("another way"), Restart, "Not served by this version."),
        ],
    },
];

/// The same for a trunk and for an agent.
const DTMF: Key = key(
    "dtmf",
    Word(&["auto", "rfc4733", "info", "inband"]),
    Is("\"auto\""),
    Live,
    "How keys go: RFC 4733 where agreed and else tones (auto), RFC 4733 only, SIP INFO to it, or tones \
     both ways. INFO is always understood.",
);

/// How a new value of this key takes hold. What nobody knows needs a restart.
pub(crate) fn change(table: &str, key: &str) -> Change {
    let table = TABLES.iter().find(|known| known.name == table);
    let key = table.and_then(|table| table.keys.iter().find(|known| known.name == key));
    key.map_or(Restart, |key| key.change)
}
