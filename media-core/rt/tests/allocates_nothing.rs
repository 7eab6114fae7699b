//! The media threads' loop in a recorded call, to which a leg moves from one to the other: orders,
//! packets, ticks, frames and events, and not one allocation or release of memory.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]
#![expect(unsafe_code, reason = "a global allocator is an unsafe trait")]

#[expect(dead_code, reason = "shared with tests that also look at the recording")]
mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst},
};

use common::{CALLER, Folder, OTHER, Party, Said, TALK, give, media, talk};
use media_core::order::{Order, Source, TalkName};
use nix::unistd::gettid;

#[test]
fn the_media_thread_allocates_nothing_in_a_recorded_call() {
    let folder = Folder::new("allocates-nothing");
    let address = IpAddr::from([127, 77, 4, 1]);
    let mut media = media(2, address, &folder);
    // Their start-up is over when they tick.
    while media.ticks().contains(&0) {
        std::thread::yield_now();
    }
    WATCHED.iter().zip(["media-0", "media-1"]).for_each(|(watched, name)| {
        watched.store(thread_named(name), SeqCst);
    });
    let mut caller = Party::new(SocketAddr::new(address, 21_000), 400.0, 1);
    let mut other = Party::new(SocketAddr::new(address, 21_002), 1_000.0, 2);
    let mut said = Said::default();

    for number in 0..3 {
        let call = TalkName(TALK.0 + number);
        give(&mut media, caller.orders(CALLER));
        give(&mut media, other.orders(OTHER));
        give(
            &mut media,
            [Order::Bridge { talk: call, caller: CALLER, other: OTHER, record: true }],
        );
        talk(&mut media, &mut said, [&mut caller, &mut other], 30);
        let (caller_hears, other_hears) = (Source::Silence, Source::Silence);
        give(&mut media, [Order::Part { talk: call, caller_hears, other_hears }]);
        talk(&mut media, &mut said, [&mut caller, &mut other], 10);
        give(&mut media, [CALLER, OTHER].map(|leg| Order::Close { leg }));
        give(&mut media, [Order::EndTalk { talk: call }]);
        said.wait(&mut media, "end", |said| said.closed(CALLER) && said.closed(OTHER));
        said.events.clear();
    }

    assert!(media.counters().engine.record_frames > 0, "the way to the recorder was taken");
    assert!(caller.heard.len() > 60 * 160 && other.heard.len() > 60 * 160, "so was the bridge");
    assert_eq!((ALLOCATED.load(SeqCst), RELEASED.load(SeqCst)), (0, 0));

    // The watch itself: this thread allocates, and is seen to.
    WATCHED[0].store(gettid().as_raw(), SeqCst);
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert!(ALLOCATED.load(SeqCst) > 0 && RELEASED.load(SeqCst) > 0);
}

fn thread_named(name: &str) -> i32 {
    let found = fs::read_dir("/proc/self/task").unwrap().find_map(|task| {
        let task = task.unwrap();
        let comm = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        (comm.trim() == name).then(|| task.file_name().to_str().unwrap().parse().unwrap())
    });
    found.expect("the thread runs under its name")
}

/// Counts what the watched threads do.
struct Watch;

#[global_allocator]
static WATCH: Watch = Watch;

static WATCHED: [AtomicI32; 2] = [AtomicI32::new(0), AtomicI32::new(0)];
static ALLOCATED: AtomicU64 = AtomicU64::new(0);
static RELEASED: AtomicU64 = AtomicU64::new(0);

fn count(counter: &AtomicU64) {
    let watched = WATCHED.each_ref().map(|thread| thread.load(SeqCst));
    if watched != [0, 0] && watched.contains(&gettid().as_raw()) {
        counter.fetch_add(1, SeqCst);
    }
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Watch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATED);
        // SAFETY: the caller's promises are passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(&RELEASED);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
