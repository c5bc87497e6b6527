//! Who may try a model, and how does the attempt report what it shows about the model's health?

use std::sync::Arc;

use tokio::time::Instant;

use crate::error::UpstreamError;
use crate::trail::BreakerState;

use super::breaker::Circumstances;
use super::guard::Guard;
use super::scopes::{Change, Passes, Refusal, Scopes};

/// The right to try a model once. If it is dropped without a report, the attempt says nothing about the model.
pub struct Permit {
    guard: Arc<Guard>,
    /// Attempts that the retry budget of the call's scenario adds to each call in the long run.
    retry_ratio: f64,
    /// The call that the attempt belongs to, for the log.
    call_id: Arc<str>,
    /// `None` once it has been given back.
    passes: Option<Passes>,
}

impl Guard {
    /// Admits an attempt. `retry_ratio` is how many attempts the retry budget of its scenario adds to each call in the
    /// long run. Lines of the log about what the attempt changes name its call by this id.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(
        self: &Arc<Self>,
        retry_ratio: f64,
        call_id: &Arc<str>,
    ) -> Result<Permit, Refusal> {
        let (model, call) = (Some(&self.model), Some(&**call_id));
        let passes = self.provider.act(model, call, |scopes, now| {
            match scopes.admit(&self.model, now) {
                Ok(mut passes) => {
                    let changes = passes.take_changes();
                    (Ok(passes), changes)
                }
                Err(refusal) => (Err(refusal), Vec::new()),
            }
        })?;
        Ok(Permit::new(Arc::clone(self), retry_ratio, call_id, passes))
    }

    /// Admits an attempt in spite of an open breaker, with the probability that it is answered. `draw` is drawn
    /// from 0 to 1.
    pub fn admit_last(
        self: &Arc<Self>,
        retry_ratio: f64,
        call_id: &Arc<str>,
        draw: f64,
    ) -> Option<Permit> {
        let admit = |scopes: &mut Scopes, now| scopes.admit_last(&self.model, draw, now);
        let passes = self.provider.read(Some(&self.model), admit)?;
        Some(Permit::new(Arc::clone(self), retry_ratio, call_id, passes))
    }
}

impl Permit {
    fn new(guard: Arc<Guard>, retry_ratio: f64, call_id: &Arc<str>, passes: Passes) -> Self {
        Self {
            guard,
            retry_ratio,
            call_id: Arc::clone(call_id),
            passes: Some(passes),
        }
    }

    /// Whether the attempt tests if a failing target has recovered.
    pub fn is_probe(&self) -> bool {
        self.passes.as_ref().is_some_and(Passes::is_probe)
    }

    /// The breaker's state at admission.
    pub fn breaker_state(&self) -> BreakerState {
        let state = self.passes.as_ref().map(Passes::state);
        state.unwrap_or(BreakerState::Closed)
    }

    /// Reports that the provider has been silent for suspiciously long.
    pub fn stalled(&mut self, healthier_alternative: bool) {
        self.report(healthier_alternative, |scopes, passes, circumstances| {
            scopes.stalled(passes, circumstances)
        });
    }

    /// Reports that a limit of the caller or the deadline ended the attempt. The provider was silent since `since`.
    pub fn cut_short(&mut self, since: Instant, healthier_alternative: bool) {
        self.report(healthier_alternative, |scopes, passes, circumstances| {
            scopes.cut_short(passes, since, circumstances)
        });
    }

    /// Reports that the head of an answer has arrived.
    pub fn reached(&mut self) {
        let passes = self.passes.as_ref();
        // The first content shows the same a little later, so most calls need no lock here.
        if passes.is_some_and(Passes::tells_recovery_of_endpoint) {
            self.report(false, Scopes::reached);
        }
    }

    /// Reports that further content has arrived.
    pub fn progressed(&mut self) {
        let passes = self.passes.as_ref();
        if passes.is_some_and(Passes::tells_recovery_of_model) {
            self.report(false, Scopes::progressed);
        }
    }

    /// Reports that the first content has arrived.
    pub fn first_content(&mut self, slow: bool, healthier_alternative: bool) {
        self.report(healthier_alternative, |scopes, passes, circumstances| {
            scopes.first_content(passes, slow, circumstances)
        });
    }

    /// Reports that the answer is complete.
    pub fn completed(&mut self) {
        let passes = self.passes.as_ref();
        // This matters only for probes and last resorts, so most calls need no lock here.
        if passes.is_some_and(Passes::tells_recovery_of_model) {
            self.report(false, Scopes::completed);
        }
    }

    /// Reports that the attempt failed.
    pub fn failed(&mut self, error: &UpstreamError, healthier_alternative: bool) {
        self.report(healthier_alternative, |scopes, passes, circumstances| {
            scopes.failed(passes, error, circumstances)
        });
    }

    fn report(
        &mut self,
        healthier_alternative: bool,
        report: impl FnOnce(&mut Scopes, &mut Passes, Circumstances) -> Vec<Change>,
    ) {
        let Some(passes) = &mut self.passes else {
            return;
        };
        let retry_ratio = self.retry_ratio;
        let Guard {
            provider, model, ..
        } = &*self.guard;
        provider.act(Some(model), Some(&self.call_id), |scopes, now| {
            let circumstances = Circumstances {
                now,
                jitter: fastrand::f64(),
                healthier_alternative,
                retry_ratio,
            };
            ((), report(scopes, passes, circumstances))
        });
        if passes.is_probe() {
            provider.wake_waiting();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(passes) = self.passes.take() else {
            return;
        };
        let is_probe = passes.is_probe();
        let Guard {
            provider, model, ..
        } = &*self.guard;
        provider.read(Some(model), |scopes, now| {
            let circumstances = Circumstances {
                now,
                jitter: 0.5,
                healthier_alternative: false,
                retry_ratio: 0.0,
            };
            scopes.release(passes, circumstances);
        });
        if is_probe {
            provider.wake_waiting();
        }
    }
}
