//! The API of a running appliance, asked over real HTTP.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod music;

use clavija::{Appliance, Running, music::Reader};
use firmware_config::{Config, Demo, Host, demo_text, from_strings};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::{
    fs,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Mutex,
};

/// An appliance in this process, at free ports, in a folder of its own.
struct Box {
    running: Running,
    config: Config,
    folder: PathBuf,
    client: Client,
    token: String,
}

impl Box {
    async fn start(name: &str) -> Self {
        Self::start_with(name, reader()).await
    }

    async fn start_with(name: &str, reader: Reader) -> Self {
        let folder =
            std::env::temp_dir().join(format!("clavija-api-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let music_file = folder.join("melody.wav");
        fs::write(&music_file, silence_wav()).unwrap();
        // Two tests must not pick the same free ports.
        let _picking = PICKING.lock().await;
        let first = free_ports();
        let text = demo_text(&Demo {
            sip_port: first,
            http_port: first + 1,
            agent_port: first + 1,
            first_media_port: first + 2,
            phone_password: "only-for-this-test",
            data_dir: &folder.join("data"),
            music_file: &music_file,
        });
        let host = Host { addresses: vec![], credentials: None };
        let loaded = from_strings(&text, None, &folder, &host).unwrap();
        let running = Appliance::start(loaded.config.clone(), reader).await.unwrap();
        let token = fs::read_to_string(folder.join("data/admin.token")).unwrap().trim().to_owned();
        Self { running, config: loaded.config, folder, client: Client::new(), token }
    }

    /// Another process, as far as files know, with the same configuration.
    async fn start_again(self) -> Self {
        self.start_again_with(reader()).await
    }

    async fn start_again_with(self, reader: Reader) -> Self {
        let Self { running, config, folder, client, token } = self;
        running.drain_and_stop(std::future::pending()).await;
        let running = Appliance::start(config.clone(), reader).await.unwrap();
        Self { running, config, folder, client, token }
    }

    fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.running.http()))
    }

    fn asked(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Response {
        self.asked(Method::GET, path).send().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.asked(Method::POST, path).json(body).send().await.unwrap()
    }

    async fn await_agent(&self, name: &str, state: &str) -> Value {
        for _ in 0..500 {
            let agent = self.json(&format!("/api/v1/agents/{name}")).await;
            if agent["state"] == state {
                return agent;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name} never became {state}");
    }

    async fn end(self) {
        self.running.drain_and_stop(std::future::pending()).await;
        fs::remove_dir_all(self.folder).unwrap();
    }
}

/// This process is no `clavija`.
fn reader() -> Reader {
    Reader::at(env!("CARGO_BIN_EXE_clavija").into())
}

static PICKING: Mutex<()> = Mutex::const_new(());

/// The first of 66 free ports, below those the kernel gives to whoever connects and apart from those
/// of other tests; two processes begin at different places.
fn free_ports() -> u16 {
    let udp = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let tcp = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let own = usize::try_from(std::process::id() % 120).unwrap();
    let mut firsts = (10_000..18_000).step_by(66).cycle().skip(own).take(120);
    let free = |&first: &u16| tcp(first) && tcp(first + 1) && (first..first + 66).all(udp);
    firsts.find(free).expect("66 neighbouring ports are free")
}

/// Half a second of 16-bit mono at 8 kHz.
fn silence_wav() -> Vec<u8> {
    let mut wav =
        b"RIFF\x64\x1f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0\
        data\x40\x1f\0\0"
            .to_vec();
    wav.extend([0; 8_000]);
    wav
}

/// The status and the code of a problem, which must say both.
async fn problem(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
    (status, body["code"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_the_token_is_answered_except_about_health() {
    let the = Box::start("token").await;

    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = the.bare(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    for path in ["/api/v1/agents", "/api/v1/openapi.json", "/nothing", "/"] {
        let without = the.bare(Method::GET, path).send().await.unwrap();
        assert_eq!(without.headers()["www-authenticate"], "Bearer");
        assert_eq!(problem(without).await, (401, "unauthorized".to_owned()), "{path}");
        let wrong = the.bare(Method::GET, path).bearer_auth("clv_wrong").send().await.unwrap();
        assert_eq!(wrong.status(), 401, "{path}");
    }
    the.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_of_a_box_at_rest_is_there() {
    let the = Box::start("lists").await;

    let agents = the.json("/api/v1/agents").await;
    assert_eq!(agents["items"][0]["name"], "ana");
    assert_eq!(agents["items"][1]["team_names"], json!(["demo"]));
    the.await_agent("ana", "available").await;
    the.await_agent("visitor", "offline").await;
    for path in
        ["/api/v1/calls", "/api/v1/calls?state=active", "/api/v1/cdrs", "/api/v1/recordings"]
    {
        assert_eq!(the.json(path).await["items"], json!([]), "{path}");
    }
    let queue = &the.json("/api/v1/queues").await["items"][0];
    assert_eq!((&queue["team"], &queue["agents_available"]), (&json!("demo"), &json!(1)));
    assert_eq!(the.json("/api/v1/trunks").await["items"][0]["name"], "demo-carrier");
    assert_eq!(the.json("/api/v1/status").await["state"], "ready");
    the.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_paused_and_made_available_again() {
    let the = Box::start("pause").await;
    the.await_agent("ana", "available").await;

    let path = "/api/v1/agents/ana/state";
    let paused = the.post(path, &json!({"state": "paused", "reason": "lunch"})).await;

    assert_eq!(paused.status(), 202);
    assert_eq!(the.await_agent("ana", "paused").await["reason"], "lunch");
    assert_eq!(the.post(path, &json!({"state": "available"})).await.status(), 202);
    the.await_agent("ana", "available").await;
    the.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_a_problem_with_a_code() {
    let the = Box::start("problems").await;
    let get = async |path: &str| problem(the.get(path).await).await;
    let post = async |path: &str, body: Value| problem(the.post(path, &body).await).await;
    let is = |status: u16, code: &str| (status, code.to_owned());

    assert_eq!(get("/api/v1/nothing").await, is(404, "no-such-path"));
    assert_eq!(get("/api/v1/agents/nobody").await, is(404, "no-such-agent"));
    assert_eq!(get("/api/v1/calls/call-00000001").await, is(404, "no-such-call"));
    assert_eq!(get("/api/v1/calls/1").await, is(404, "no-such-call"));
    assert_eq!(get("/api/v1/calls?state=asleep").await, is(400, "bad-request"));
    assert_eq!(get("/api/v1/calls?limit=-1").await, is(400, "bad-request"));
    assert_eq!(get("/api/v1/calls?stat=active").await, is(400, "bad-request"));
    assert_eq!(get("/api/v1/cdrs?since=yesterday").await, is(400, "bad-request"));
    let call = "/api/v1/calls/call-00000001/actions";
    assert_eq!(post(&format!("{call}/hangup"), json!({})).await, is(404, "no-such-call"));
    assert_eq!(post(&format!("{call}/whisper"), json!({})).await, is(501, "not-served"));
    assert_eq!(post(&format!("{call}/dance"), json!({})).await, is(404, "no-such-action"));
    assert_eq!(post("/api/v1/calls", json!({})).await, is(501, "not-served"));
    let agent = "/api/v1/agents/ana/state";
    assert_eq!(post(agent, json!({"state": "tired"})).await, is(400, "bad-request"));
    assert_eq!(post(agent, json!({"stat": "paused"})).await, is(422, "bad-request"));
    let huge = json!({"state": "paused", "reason": "x".repeat(70_000)});
    assert_eq!(post(agent, huge).await, is(413, "bad-request"));
    let method = the.asked(Method::DELETE, "/api/v1/agents").send().await.unwrap();
    assert_eq!(problem(method).await, is(405, "method-not-allowed"));
    the.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_served_whole_and_in_parts_and_nothing_beside_it() {
    let the = Box::start("audio").await;
    let sound: Vec<u8> = (0..44 + 2 * 640).map(|at| u8::try_from(at % 251).unwrap()).collect();
    fs::write(the.folder.join("data/recordings/call-00000063.wav"), &sound).unwrap();
    let path = "/api/v1/recordings/call-00000063";
    let audio = format!("{path}/audio");
    let part = async |range: &str| {
        let answer = the.asked(Method::GET, &audio).header("range", range).send().await.unwrap();
        let status = answer.status().as_u16();
        let place = answer.headers().get("content-range").cloned();
        (
            status,
            place.map(|p| p.to_str().unwrap().to_owned()),
            answer.bytes().await.unwrap().to_vec(),
        )
    };

    assert_eq!(the.json(path).await["bytes"], 1_324);
    assert_eq!(the.json("/api/v1/recordings").await["items"][0]["seconds"], 0.04);
    let whole = the.get(&audio).await;
    assert_eq!(whole.headers()["content-type"], "audio/wav");
    assert_eq!(whole.bytes().await.unwrap(), sound);
    let first = (206, Some("bytes 0-3/1324".to_owned()), sound[..4].to_vec());
    assert_eq!(part("bytes=0-3").await, first);
    assert_eq!(part("bytes=-2").await.2, sound[1_322..]);
    assert_eq!(part("bytes=1000-").await.2, sound[1_000..]);
    assert_eq!(part("bytes=9999-").await.0, 416);
    for other in ["..%2f..%2fadmin.token", "%2e%2e", "call-00000064", "call-00000063.wav"] {
        let path = format!("/api/v1/recordings/{other}/audio");
        assert_eq!(problem(the.get(&path).await).await.0, 404, "{other}");
    }
    the.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_and_never_by_what_somebody_sent() {
    let the = Box::start("counted").await;
    the.get("/api/v1/agents/zebedee").await;
    the.get("/surprise").await;
    the.asked(Method::from_bytes(b"SURPRISE").unwrap(), "/livez").send().await.unwrap();

    let text = the.bare(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();

    let line = |code: u16, method: &str, route: &str| {
        let labels = format!("code=\"{code}\",method=\"{method}\",route=\"{route}\"");
        format!("clavija_http_requests_total{{{labels}}} 1")
    };
    for wanted in [
        line(404, "GET", "/api/v1/agents/{name}"),
        line(404, "GET", "unknown"),
        line(405, "other", "/livez"),
    ] {
        assert!(text.lines().any(|found| found == wanted), "{wanted} in\n{text}");
    }
    assert!(!text.contains("zebedee") && !text.contains("urprise"));
    the.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_draining_the_box_lives_and_is_not_ready() {
    let the = Box::start("drain").await;
    let status = async |path: &str| the.bare(Method::GET, path).send().await.unwrap().status();
    assert_eq!(status("/readyz").await, 200);

    the.running.handle().drain().await;

    assert_eq!(status("/readyz").await, 503);
    assert_eq!(status("/livez").await, 200);
    assert_eq!(the.json("/api/v1/status").await["state"], "draining");
    the.end().await;
}
