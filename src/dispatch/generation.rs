//! Which configuration does a call belong to? The one that was in force when the call was understood, until its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::transport::Transport;

use super::drains::Drains;

/// What all calls under one configuration share. It ends with the last of them.
pub(crate) struct TableGeneration {
    /// The connections to providers, by core.
    transports: Vec<Transport>,
    alive: Alive,
    drains: Drains,
}

/// How many generations have calls or are in force.
#[derive(Clone, Default)]
pub(super) struct Alive(Arc<AtomicUsize>);

impl Alive {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl TableGeneration {
    /// Begins a generation, with the connections of each core.
    pub(super) fn begin(transports: Vec<Transport>, alive: &Alive, drains: &Drains) -> Arc<Self> {
        alive.0.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            transports,
            alive: alive.clone(),
            drains: drains.clone(),
        })
    }

    /// The connections of a core; those of the first one if there is no such core.
    pub(super) fn transport(&self, core: usize) -> Transport {
        let transport = self.transports.get(core).or(self.transports.first());
        transport.cloned().unwrap_or_default()
    }

    /// What reads answers on whose calls have ended.
    pub(super) fn drains(&self) -> &Drains {
        &self.drains
    }

    /// The connections of all cores.
    pub(super) fn transports(&self) -> &[Transport] {
        &self.transports
    }
}

impl Drop for TableGeneration {
    fn drop(&mut self) {
        self.alive.0.fetch_sub(1, Ordering::Relaxed);
    }
}
