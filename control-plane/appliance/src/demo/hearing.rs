//! What the built-in people must hear and be told, and for how long that is waited for.

use super::{
    peer::{Happens, Peer},
    sound,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Much longer than anything here takes, even on a host that does other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// Of all power that is heard, what must be the other's voice.
pub(crate) const VOICE_SHARE: f64 = 0.8;
/// And what may be, when the other is not to be heard.
const NO_VOICE_SHARE: f64 = 0.1;
/// A voice is told from others in so much of it.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) async fn expect(peer: &mut Peer, wanted: Happens) -> Result<(), String> {
    match timeout(PATIENCE, peer.next()).await {
        Ok(happens) if happens == wanted => Ok(()),
        Ok(other) => Err(format!("instead it was told {other:?}")),
        Err(_) => Err("nothing happened in time".to_owned()),
    }
}

pub(crate) async fn ended(peer: &mut Peer) -> Result<(), String> {
    match timeout(PATIENCE, peer.next()).await {
        Ok(Happens::Ended(_)) => Ok(()),
        Ok(other) => Err(format!("instead it was told {other:?}")),
        Err(_) => Err("nothing happened in time".to_owned()),
    }
}

/// What is heard in the time to come, measured by the sound itself.
pub(crate) async fn listen(peer: &Peer, span: Duration) -> Result<Vec<i16>, String> {
    let wanted = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    drop(peer.take_heard());
    let heard = async {
        while sound::millis(peer.heard_samples()) < wanted {
            sleep(Duration::from_millis(20)).await;
        }
        peer.take_heard()
    };
    timeout(PATIENCE, heard).await.map_err(|_| "no audio came".to_owned())
}

/// Until the other's voice has come through: what is on its way may still be music. Its share.
pub(crate) async fn await_voice(peer: &Peer, hz: f64) -> Result<f64, String> {
    let arrived = async {
        loop {
            let share = sound::share(&listen(peer, LOOK).await?, hz);
            if share > VOICE_SHARE {
                return Ok(share);
            }
        }
    };
    let in_time = timeout(PATIENCE, arrived).await;
    in_time.unwrap_or_else(|_| Err("other sounds came, not this voice".to_owned()))
}

/// Until the other's voice is gone from what is heard.
pub(crate) async fn await_silence_of(peer: &Peer, hz: f64) -> Result<(), String> {
    let gone = async {
        while sound::share(&listen(peer, LOOK).await?, hz) > NO_VOICE_SHARE {}
        Ok(())
    };
    let in_time = timeout(PATIENCE, gone).await;
    in_time.unwrap_or_else(|_| Err("this voice is still heard".to_owned()))
}
