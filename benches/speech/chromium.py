"""Chromium as the phone that listens: a page (chromium.html) answers WebRTC calls and hands back what their tracks
play. aiortc calls it, with PCMU alone; the packets are written here, so that they are those that others hear."""

import asyncio, itertools, json, os, queue, shutil, subprocess, threading, time
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from audio import LATE_MS, RATE, RAW, Late, due, narrowed, packet, payloads

PAGE = Path(__file__).with_suffix(".html")
# Nothing but the page: no sound card, no updates, no telemetry; an address on loopback, and by its number.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
         "--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection",
         "--disable-features=WebRtcHideLocalIpsWithMdns"]
# How long anything may take that is not speech.
PATIENCE_S = 30


class Door(BaseHTTPRequestHandler):
    """What the page is told and tells: `/call` waits for the next one."""

    def do_GET(self):
        if self.path == "/call":
            self.server.opened.set()
            self.reply("application/json", json.dumps(self.server.calls.get()).encode())
        elif self.path == "/":
            self.reply("text/html", PAGE.read_bytes())
        else:
            self.send_error(404)

    def do_POST(self):
        path, words = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told[path, int(words["call"])].set_result((words, body))
        self.reply("text/plain", b"")

    def reply(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Chromium:
    """One browser with one page for all calls; several at once are heard apart, each by a jitter buffer of its own."""

    def __init__(self, folder):
        self.home, self.names = folder / "chromium", itertools.count()
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.loop = asyncio.new_event_loop()
        self.door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.door.daemon_threads = True
        self.door.calls, self.door.told, self.door.opened = queue.SimpleQueue(), {}, threading.Event()
        for work in (self.loop.run_forever, self.door.serve_forever):
            threading.Thread(target=work, daemon=True).start()

    def __enter__(self):
        with open(self.home / "log", "w") as log:
            self.browser = subprocess.Popen(
                ["chromium", *FLAGS, f"--user-data-dir={self.home}", f"http://127.0.0.1:{self.door.server_port}/"],
                env={**os.environ, "HOME": str(self.home)}, stdout=log, stderr=log)
        if not self.door.opened.wait(PATIENCE_S):
            self.__exit__()
            raise RuntimeError(f"Chromium did not open the page: {self.home / 'log'}")
        # It is busy with itself for a moment.
        time.sleep(2)
        return self

    def __exit__(self, *_):
        self.browser.terminate()
        try:
            self.browser.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.browser.kill()
            self.browser.wait()
        self.door.shutdown()

    def hear(self, stream, arrivals):
        return asyncio.run_coroutine_threadsafe(self.call(stream, arrivals), self.loop).result()

    async def call(self, stream, arrivals):
        name, seconds = next(self.names), len(stream) / RATE + 1
        answer, heard = (self.door.told.setdefault((path, name), Future()) for path in ("/answer", "/heard"))
        peer = RTCPeerConnection()
        try:
            line = peer.addTransceiver("audio", direction="sendonly")
            line.setCodecPreferences([codec for codec in RTCRtpSender.getCapabilities("audio").codecs
                                      if codec.mimeType == "audio/PCMU"])
            await peer.setLocalDescription(await peer.createOffer())
            offer = peer.localDescription.sdp
            self.door.calls.put({"call": name, "offer": offer, "seconds": seconds})
            _, sdp = await asyncio.wait_for(asyncio.wrap_future(answer), PATIENCE_S)
            await peer.setRemoteDescription(RTCSessionDescription(sdp.decode(), "answer"))
            async with asyncio.timeout(PATIENCE_S):
                while peer.connectionState != "connected":
                    await asyncio.sleep(0.01)
            ssrc = int(offer.split("a=ssrc:")[1].split()[0])
            late = await speak(line.sender.transport, payloads(stream), arrivals, ssrc)
            words, samples = await asyncio.wait_for(asyncio.wrap_future(heard), PATIENCE_S)
        finally:
            await peer.close()
        return self.sound(stream, arrivals, late, words, samples)

    def sound(self, stream, arrivals, late, words, samples):
        """What was heard, if it was heard as it was meant."""
        numbers = [number for _, number in due(arrivals)]
        meant = {"codec": "audio/PCMU", "packets": len(numbers), "lost": max(numbers) - min(numbers) + 1 - len(numbers)}
        if any(words[what] != str(value) for what, value in meant.items()):
            raise RuntimeError(f"Chromium was sent {meant} and says {words}")
        rate, still = int(words["rate"]), float(words["still"])
        if len(samples) / 2 < rate * len(stream) / RATE or not rate:
            raise RuntimeError(f"{len(stream)} samples were said, Chromium played {len(samples) // 2} at {rate} Hz")
        if max(late, still) > LATE_MS:
            raise Late(f"a packet for Chromium left {late:.0f} ms late, it stood still for {still:.0f} ms")
        raw = self.home / f"heard-{words['call']}.raw"
        raw.write_bytes(samples)
        return narrowed(["-r", words["rate"], *RAW, raw], raw.with_suffix(".8k"))


async def speak(transport, frames, arrivals, ssrc):
    """Each packet leaves when it is to arrive; by how many ms one was late at most. It is handed to aiortc where it would
    encrypt one of its own: its sender numbers without gaps."""
    start, late = time.monotonic() + 0.1, 0
    for at, number in due(arrivals):
        await asyncio.sleep(max(0, start + at / 1_000 - time.monotonic()))
        await transport._send_rtp(packet(number, frames[number], ssrc))
        late = max(late, 1_000 * (time.monotonic() - start) - at)
    return late
