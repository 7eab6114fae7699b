"""linphonec as the phone that listens, and who calls it."""

import os, random, shutil, socket, subprocess, time

from audio import LATE_MS, Late, due, narrowed, packet, payloads


class Caller:
    """A SIP user agent that calls once, sends RTP when it is told to, and needs no library."""

    def __init__(self, here, there):
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind((here, 0))
        self.rtp.bind((here, 0))
        self.sip.settimeout(0.5)
        self.here, self.there, self.tag = here, there, random.randrange(1 << 30)
        self.to = f"<sip:peer@{there[0]}:{there[1]}>"

    def request(self, method, number, body=""):
        port = self.sip.getsockname()[1]
        kind = "Content-Type: application/sdp\r\n" if body else ""
        branch = f"z9hG4bK{self.tag}{number}{'' if method == 'INVITE' else method}"
        text = (f"{method} sip:peer@{self.there[0]}:{self.there[1]} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {self.here}:{port};branch={branch};rport\r\nMax-Forwards: 70\r\n"
                f"From: <sip:judge@{self.here}:{port}>;tag={self.tag}\r\nTo: {self.to}\r\n"
                f"Call-ID: {self.tag}@{self.here}\r\nCSeq: {number} {method}\r\n"
                f"Contact: <sip:judge@{self.here}:{port}>\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}")
        self.sip.sendto(text.encode(), self.there)

    def call(self, patience=15):
        """Where the callee wants its audio."""
        port = self.rtp.getsockname()[1]
        offer = (f"v=0\r\no=- 1 1 IN IP4 {self.here}\r\ns=-\r\nc=IN IP4 {self.here}\r\nt=0 0\r\n"
                 f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n")
        end, heard = time.monotonic() + patience, False
        while time.monotonic() < end:
            if not heard:
                self.request("INVITE", 1, offer)
            try:
                text = self.sip.recv(65_536).decode(errors="replace")
            except (TimeoutError, ConnectionError):
                time.sleep(0.1)
                continue
            heard = True
            status = text.split(" ", 2)[1]
            if status.startswith("2"):
                lines = dict(line.split(": ", 1) for line in text.split("\r\n\r\n")[0].split("\r\n")[1:])
                self.to = lines["To"]
                self.request("ACK", 1)
                sdp = text.split("\r\n\r\n", 1)[1].split("\r\n")
                where = next(line for line in sdp if line.startswith("c=")).split()[-1]
                return where, int(next(line for line in sdp if line.startswith("m=audio")).split()[1])
            if status[0] in "3456":
                raise RuntimeError(f"the call was answered with {status}")
        raise RuntimeError("the call was not answered")

    def speak(self, to, packets, arrivals):
        """Each packet leaves when it is to arrive: loopback itself takes no time."""
        start, late = time.monotonic() + 0.1, 0
        for at, number in due(arrivals):
            time.sleep(max(0, start + at / 1_000 - time.monotonic()))
            self.rtp.sendto(packet(number, packets[number], self.tag), to)
            late = max(late, 1_000 * (time.monotonic() - start) - at)
        if late > LATE_MS:
            raise Late(f"a packet for linphonec left {late:.0f} ms late")

    def hang_up(self):
        self.request("BYE", 2)
        time.sleep(0.3)


def linphone(stream, arrivals, folder, seed):
    """What linphonec heard: it writes what it would play. Ports of its own for each seed."""
    home, port, audio = folder / f"linphone-{seed}", 5960 + seed, 17000 + 2 * seed
    shutil.rmtree(home, ignore_errors=True)
    (home / ".local/share/linphone").mkdir(parents=True)
    (home / ".config/linphone").mkdir(parents=True)
    config, heard = home / "rc", home / "heard.wav"
    config.write_text(f"[sip]\nsip_port={port}\nsip_tcp_port=0\nsip_tls_port=0\nuse_ipv6=0\nbind_address=127.0.0.1\n"
                      f"guess_hostname=0\ncontact=sip:peer@127.0.0.1:{port}\n"
                      f"[rtp]\naudio_rtp_port={audio}\n[sound]\nechocancellation=0\n"
                      "[audio_codec_0]\nmime=PCMU\nrate=8000\nenabled=1\n")
    phone = subprocess.Popen(["linphonec", "-a", "-c", config], env={**os.environ, "HOME": str(home)},
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    try:
        phone.stdin.write(f"soundcard use files\nrecord {heard}\n")
        phone.stdin.flush()
        time.sleep(2)
        caller = Caller("127.0.0.1", ("127.0.0.1", port))
        caller.speak(caller.call(), payloads(stream), arrivals)
        time.sleep(0.5)
        caller.hang_up()
        phone.stdin.write("quit\n")
        phone.stdin.flush()
        phone.wait(10)
    finally:
        if phone.poll() is None:
            phone.kill()
            phone.wait()
    # Whatever rate it recorded at. Its header counts itself to the sound, so sox is not to believe the length.
    return narrowed(["--ignore-length", heard], home / "heard.raw")
