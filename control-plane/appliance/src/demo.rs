//! `clavija demo`: an appliance of its own on this host, and one real call through it.

pub(crate) mod hearing;
mod keys;
pub(crate) mod peer;
pub(crate) mod sound;

use crate::{
    Appliance, Running, Stopped, cli::host, client::Client, error::Failure, music::Reader,
};
use firmware_config::{Demo, demo_text};
use hearing::{PATIENCE, VOICE_SHARE};
use peer::{Happens, Peer};
use rand::{TryRng, rngs::SysRng};
use serde_json::Value;
use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// The one the demo's configuration leads to its team.
const NUMBER: &str = "+12025550100";
const CALLER_HZ: f64 = 440.0;
const AGENT_HZ: f64 = 660.0;
/// How long the caller listens to music, and then the two to each other.
const RING: Duration = Duration::from_secs(2);
const TALK: Duration = Duration::from_secs(3);
/// Media ports: those of the demo's configuration.
const MEDIA_PORTS: u16 = 64;
/// A second of audio.
const SECOND_SAMPLES: usize = 8_000;

/// Starts, calls, tells; with `stay` it goes on until Ctrl-C.
pub async fn run(stay: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let mut stage = Stage::build().await?;
    let running = start(&stage).await?;
    let told = perform(&mut stage, &running, out).await;
    if stay && told.is_ok() {
        writeln!(out, "\nIt keeps running. Ctrl-C ends it.")?;
        out.flush()?;
        tokio::select! {
            () = go_on_answering(&mut stage.agent) => {}
            ended = tokio::signal::ctrl_c() => ended?,
        }
    }
    let stopped = running.drain_and_stop(second_wish()).await;
    told?;
    match stopped {
        Stopped::Drained | Stopped::HungUp => Ok(()),
        Stopped::Failed => Err(failed("stopping", "the appliance ended by a fault of its own")),
    }
}

/// What the call needs before there is an appliance.
struct Stage {
    folder: PathBuf,
    phone_password: String,
    /// SIP over UDP and HTTP over TCP; the media ports follow.
    first_port: u16,
    caller: Peer,
    agent: Peer,
}

impl Stage {
    async fn build() -> Result<Self, Failure> {
        let step = "preparing";
        let broken = |error: io::Error| failed(step, &error.to_string());
        let folder = make_folder().map_err(broken)?;
        fs::write(folder.join("melody.wav"), sound::melody_wav()).map_err(broken)?;
        let caller = Peer::start(CALLER_HZ).await.map_err(broken)?;
        let agent = Peer::start(AGENT_HZ).await.map_err(broken)?;
        let first_port = free_ports()
            .ok_or_else(|| failed(step, "no 66 neighbouring ports are free on 127.0.0.1"))?;
        Ok(Self {
            phone_password: random_hex().map_err(broken)?,
            first_port,
            folder,
            caller,
            agent,
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn configuration(&self) -> String {
        demo_text(&Demo {
            sip_port: self.first_port,
            http_port: self.first_port + 1,
            first_media_port: self.first_port + 2,
            agent_port: self.agent.address.port(),
            phone_password: &self.phone_password,
            data_dir: &self.data(),
            music_file: &self.folder.join("melody.wav"),
        })
    }
}

async fn start(stage: &Stage) -> Result<Running, Failure> {
    let text = stage.configuration();
    fs::write(stage.folder.join("demo.toml"), &text)?;
    let loaded = firmware_config::from_strings(&text, None, &stage.folder, &host()?)
        .map_err(Failure::InvalidConfig)?;
    let started = Appliance::start(loaded.config, Reader::own()).await;
    started.map_err(|error| failed("starting the appliance", &error.to_string()))
}

/// The call, and the tale of it.
async fn perform(stage: &mut Stage, running: &Running, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "The appliance runs: SIP at {}, HTTP at {}.", running.sip(), running.http())?;
    writeln!(out, "A built-in caller dials {NUMBER}; a built-in agent, ana, will answer.")?;
    out.flush()?;
    let heard = place_call(&mut stage.caller, &mut stage.agent, running.sip()).await?;
    let token = fs::read_to_string(stage.folder.join("data/admin.token"))?;
    let client = Client::new(&format!("http://{}", running.http()), token.trim());
    let story = ended_story(&client).await?;
    let recorded = recording(&client, &story).await?;
    tell(&heard, &story, out)?;
    how_to_go_on(&stage.folder, &stage.phone_password, running, &recorded, out)?;
    Ok(out.flush()?)
}

/// What was measured.
struct Heard {
    music_ms: u64,
    agent_by_caller: f64,
    caller_by_agent: f64,
}

struct Recorded {
    id: String,
    seconds: f64,
}

async fn place_call(
    caller: &mut Peer,
    agent: &mut Peer,
    sip: SocketAddr,
) -> Result<Heard, Failure> {
    caller.call(NUMBER, sip);
    expect(caller, Happens::Connected, "the appliance answers the caller").await?;
    expect(agent, Happens::Called, "the agent's phone rings").await?;
    let music = listen(caller, RING, "the caller hears music").await?;
    if !sound::is_audible(&music) {
        return Err(failed("the caller hears music", "only silence came"));
    }

    agent.answer();
    expect(agent, Happens::Connected, "the agent answers").await?;
    let step = "the agent hears the caller";
    await_voice(agent, CALLER_HZ, step).await?;
    let step = "the caller hears the agent";
    await_voice(caller, AGENT_HZ, step).await?;
    drop((caller.take_heard(), agent.take_heard()));
    let by_caller = listen(caller, TALK, "the two talk").await?;
    let by_agent = agent.take_heard();
    let agent_by_caller = voice(&by_caller, AGENT_HZ, "the caller hears the agent")?;
    let caller_by_agent = voice(&by_agent, CALLER_HZ, "the agent hears the caller")?;

    caller.hang_up();
    let step = "the caller hangs up and the agent's phone is told";
    ended(agent, step).await?;
    ended(caller, step).await?;
    Ok(Heard { music_ms: sound::millis(music.len()), agent_by_caller, caller_by_agent })
}

async fn expect(peer: &mut Peer, wanted: Happens, step: &str) -> Result<(), Failure> {
    hearing::expect(peer, wanted).await.map_err(|why| failed(step, &why))
}

async fn ended(peer: &mut Peer, step: &str) -> Result<(), Failure> {
    hearing::ended(peer).await.map_err(|why| failed(step, &why))
}

async fn listen(peer: &Peer, span: Duration, step: &str) -> Result<Vec<i16>, Failure> {
    hearing::listen(peer, span).await.map_err(|why| failed(step, &why))
}

async fn await_voice(peer: &Peer, hz: f64, step: &str) -> Result<(), Failure> {
    hearing::await_voice(peer, hz).await.map(drop).map_err(|why| failed(step, &why))
}

/// The share of a voice in a talk's middle.
fn voice(pcm: &[i16], hz: f64, step: &str) -> Result<f64, Failure> {
    let middle = pcm.len().saturating_sub(SECOND_SAMPLES) / 2;
    let second = pcm.get(middle..).unwrap_or_default();
    let second = second.get(..SECOND_SAMPLES).unwrap_or(second);
    let share = sound::share(second, hz);
    if share < VOICE_SHARE {
        let what = format!("only {:.0} % of what came was this voice", 100.0 * share);
        return Err(failed(step, &what));
    }
    Ok(share)
}

/// The call's story, once it is whole.
async fn ended_story(client: &Client) -> Result<Value, Failure> {
    let step = "the call is accounted for";
    let story = async {
        loop {
            let ended = client.get("/api/v1/calls?state=ended&limit=1").await?;
            if let Some(id) = ended["items"][0]["id"].as_str() {
                return Ok(client.get(&format!("/api/v1/calls/{id}")).await?);
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, story).await.unwrap_or_else(|_| Err(failed(step, "it never ended")))
}

async fn recording(client: &Client, story: &Value) -> Result<Recorded, Failure> {
    let step = "the call is recorded";
    let id = story["recording_id"].as_str().ok_or_else(|| failed(step, "there is no recording"))?;
    let found = client.get(&format!("/api/v1/recordings/{id}")).await?;
    let seconds = found["seconds"].as_f64().unwrap_or(0.0);
    if seconds < TALK.as_secs_f64() {
        return Err(failed(step, &format!("it has {seconds:.1} s only")));
    }
    Ok(Recorded { id: id.to_owned(), seconds })
}

fn tell(heard: &Heard, story: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nWhat happened, as the appliance tells it:")?;
    for event in story["events"].as_array().into_iter().flatten() {
        let text = |member: &str| event[member].as_str().unwrap_or_default();
        let time = text("at").split('T').next_back().unwrap_or_default();
        writeln!(out, "  {time}  {:<12} {}", text("event"), text("detail"))?;
    }
    let music = f64::from(u32::try_from(heard.music_ms).unwrap_or(u32::MAX)) / 1_000.0;
    writeln!(out, "\nWhat was heard:")?;
    writeln!(out, "  The caller heard {music:.1} s of music while the agent's phone rang.")?;
    let percent = |share: f64| 100.0 * share.min(1.0);
    writeln!(
        out,
        "  Then each heard the other: {:.0} % of what the caller heard was the agent's tone,\n  \
         {:.0} % of what the agent heard was the caller's.",
        percent(heard.agent_by_caller),
        percent(heard.caller_by_agent)
    )
}

fn how_to_go_on(
    folder: &Path,
    password: &str,
    running: &Running,
    recorded: &Recorded,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (sip, http) = (running.sip(), running.http());
    let file = folder.join("data/recordings").join(format!("{}.wav", recorded.id));
    writeln!(
        out,
        "\nThe recording, {:.2} s, left the caller and right the agent:\n  {}",
        recorded.seconds,
        file.display()
    )?;
    let config = folder.join("demo.toml");
    let config = config.display();
    // As it was typed: nobody has to have installed it.
    let program = std::env::args_os().next().map_or_else(|| "clavija".into(), PathBuf::from);
    let program = program.display();
    writeln!(
        out,
        "\nTo point at it while it runs ({program} demo --stay):\n  \
         a phone  registers at {sip} as 1002 of clavija.demo with the password {password};\n           \
         it dials {NUMBER} or 1001 and hears the built-in agent's tone,\n           \
         and is offered calls itself after: {program} agent pause ana --config {config}\n  \
         a trunk  sends calls for {NUMBER} to {sip} over UDP, from 127.0.0.1\n  \
         a look   {program} call list --ended --config {config}\n           \
         or the API at http://{http}/api/v1, token in {}",
        folder.join("data/admin.token").display()
    )
}

/// A folder that only this user may look into: there will be a recording in it.
fn make_folder() -> io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("clavija-demo-{}", random_hex()?));
    DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

fn random_hex() -> io::Result<String> {
    let mut random = [0; 6];
    SysRng.try_fill_bytes(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// An even port with 65 free ones behind it, below where the kernel takes ports for whoever connects.
fn free_ports() -> Option<u16> {
    let udp = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let tcp = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let free = |first: &u16| {
        let ports = *first..*first + 2 + MEDIA_PORTS;
        let both = tcp(*first).zip(tcp(*first + 1));
        both.is_some() && ports.map(udp).collect::<Option<Vec<_>>>().is_some()
    };
    (20_000..32_000).step_by(usize::from(2 + MEDIA_PORTS)).find(free)
}

/// So that the visitor's own calls find somebody too.
async fn go_on_answering(agent: &mut Peer) {
    loop {
        match agent.next().await {
            Happens::Called => {
                sleep(RING).await;
                agent.answer();
            }
            Happens::Connected | Happens::Ended(_) => {}
        }
    }
}

async fn second_wish() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn failed(step: &str, why: &str) -> Failure {
    Failure::Failed(format!("the demo failed at \"{step}\": {why}"))
}
