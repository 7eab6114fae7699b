//! A thread of ours, from its start to the end that is waited for.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// A thread that gives its belongings back when it ends. Dropping it waits for that.
pub(crate) struct Worker<T> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Worker<T> {
    pub(crate) fn spawn(
        name: &str,
        work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(told))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl<T> Worker<T> {
    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// It ends soon; nobody waits for that yet.
    pub(crate) fn wish_to_stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(crate) fn stop(&mut self) {
        self.wish_to_stop();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // What the thread owned is dropped here. A panic of it has been printed.
            drop(thread.join());
        }
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.stop();
    }
}
