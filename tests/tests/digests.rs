//! Phones that prove who they are by something better than MD5, at the real binary: one that nobody here wrote, and one written from
//! RFC 7616 and RFC 8760 with OpenSSL for its hashes.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::Appliance, linphone::Linphone, namespace, party::loopback, sip_text::Text, wait,
};
use std::{
    io::Write,
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    time::Duration,
};

#[test]
fn linphonec_registers_by_sha_256_behind_the_md5_challenge() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();

        let phone = Linphone::start_by(
            "SHA-256",
            6_100,
            appliance.sip(),
            "1002",
            "only-for-tests-1002",
            725.0,
        );
        appliance.await_agent("bruno", "available");

        let contact = appliance.get("agents/bruno")["contacts"][0].clone();
        assert_eq!(contact["digest"], "SHA-256", "{contact}");
        assert!(contact["user_agent"].as_str().unwrap().starts_with("Linphonec/"), "{contact}");
        await_proved(&appliance, "SHA-256");
        let md5 = appliance.metrics().sum("clavija_sip_phones_proved_total", &[("digest", "MD5")]);
        assert_eq!(md5, 0.0);
        drop(phone);
        appliance.stop();
    });
}

#[test]
fn a_phone_written_from_the_rfcs_registers_by_each_algorithm_that_is_offered() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();

        for (place, (algorithm, openssl)) in
            (0_u16..).zip([("MD5", "-md5"), ("SHA-256", "-sha256"), ("SHA-512-256", "-sha512-256")])
        {
            let phone = UdpSocket::bind(loopback(21, 5_061 + place)).unwrap();
            phone.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let challenged = ask(&phone, appliance.sip(), "");
            let offered: Vec<_> = Text::read(challenged.as_bytes())
                .unwrap()
                .headers("WWW-Authenticate")
                .map(str::to_owned)
                .collect();
            assert_eq!(offered.len(), 3, "{challenged}");
            assert!(offered[0].contains("algorithm=MD5"), "MD5 stands first: {offered:?}");
            let own = format!("algorithm={algorithm}");
            let named = |value: &&String| value.split([',', ' ']).any(|part| part == own);
            let challenge = offered.iter().find(named).unwrap();
            let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();

            let answered = ask(&phone, appliance.sip(), &answer(algorithm, openssl, nonce));

            assert!(answered.starts_with("SIP/2.0 200"), "{algorithm}: {answered}");
            await_proved(&appliance, algorithm);
            let digest = appliance.get("agents/ana")["contacts"][0]["digest"].clone();
            assert_eq!(digest, algorithm);
        }
        appliance.stop();
    });
}

fn await_proved(appliance: &Appliance, digest: &str) {
    wait::until(&format!("a phone that proved itself by {digest}"), || {
        let labels = [("digest", digest)];
        let proved = appliance.metrics().sum("clavija_sip_phones_proved_total", &labels);
        (proved >= 1.0).then_some(())
    });
}

/// One REGISTER, sent until it is answered.
fn ask(phone: &UdpSocket, registrar: SocketAddr, authorization: &str) -> String {
    let here = phone.local_addr().unwrap();
    let sequence = 1 + u32::from(!authorization.is_empty());
    let request = format!(
        "REGISTER sip:clavija.test SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{}-{sequence}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1001@clavija.test>;tag=f\r\nTo: <sip:1001@clavija.test>\r\n\
         Call-ID: {here}\r\nCSeq: {sequence} REGISTER\r\nContact: <sip:1001@{here}>\r\n\
         Expires: 60\r\n{authorization}Content-Length: 0\r\n\r\n",
        here.port()
    );
    wait::until("an answer to a REGISTER", || {
        phone.send_to(request.as_bytes(), registrar).unwrap();
        let mut answer = [0; 4_096];
        let length = phone.recv(&mut answer).ok()?;
        Some(String::from_utf8(answer[..length].to_vec()).unwrap())
    })
}

/// RFC 7616 §3.4.1 with qop.
fn answer(algorithm: &str, openssl: &str, nonce: &str) -> String {
    let uri = "sip:clavija.test";
    let a1 = hash(openssl, "1001:clavija.test:only-for-tests-1001");
    let a2 = hash(openssl, &format!("REGISTER:{uri}"));
    let response = hash(openssl, &format!("{a1}:{nonce}:00000001:0a4f113b:auth:{a2}"));
    format!(
        "Authorization: Digest username=\"1001\", realm=\"clavija.test\", nonce=\"{nonce}\", \
         uri=\"{uri}\", response=\"{response}\", algorithm={algorithm}, cnonce=\"0a4f113b\", \
         qop=auth, nc=00000001\r\n"
    )
}

/// By a program that nobody here wrote.
fn hash(algorithm: &str, text: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-r", algorithm]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = openssl.spawn().expect("openssl is missing: apt-get install openssl");
    running.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.split_whitespace().next().unwrap().to_owned()
}
