//! The demonstration is itself a test of the whole: a real call over real sockets.

use std::{fs, path::Path};

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_places_a_call_tells_its_story_and_leaves_the_recording() {
    let mut said = Vec::new();

    clavija::demo::run(false, &mut said).await.unwrap();

    let said = String::from_utf8(said).unwrap();
    let order = ["arrived", "queued", "offered", "ringing", "accepted", "bridged", "over", "ended"];
    let places: Vec<_> =
        order.iter().map(|step| said.find(&format!("  {step} ")).unwrap()).collect();
    assert!(places.is_sorted(), "{said}");
    // What goes on from here can be typed: by the program that runs.
    let program = std::env::args().next().unwrap();
    assert!(said.contains(&format!("after: {program} agent pause ana")), "{said}");
    let recording = said.lines().find(|line| line.ends_with(".wav")).unwrap().trim();
    let sound = fs::read(recording).unwrap();
    assert!(sound.len() > 3 * 32_000 && sound.starts_with(b"RIFF"), "{} bytes", sound.len());
    let folder = Path::new(recording).ancestors().nth(3).unwrap();
    fs::remove_dir_all(folder).unwrap();
}
