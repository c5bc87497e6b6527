//! May a caller make this call? Its scopes say it.

use crate::error::{Error, excerpt};
use crate::identity::{Action, Identity, scopes};

/// Whether it may make calls at all.
///
/// # Errors
/// [`Error::PermissionDenied`].
pub(super) fn to_generate(identity: &Identity) -> Result<(), Error> {
    match scopes::allow(&identity.scopes, Action::Generate) {
        true => Ok(()),
        false => {
            let what = "calls of models; it lacks the scope GENERATE";
            Err(Error::PermissionDenied(what.to_owned()))
        }
    }
}

/// Whether its calls may name this scenario.
///
/// # Errors
/// [`Error::PermissionDenied`].
pub(super) fn for_scenario(identity: &Identity, id: &str) -> Result<(), Error> {
    match scopes::allow_scenario(&identity.scopes, id) {
        true => Ok(()),
        false => Err(Error::PermissionDenied(format!(
            "the scenario `{}`; CatalogService.ListScenarios lists those that it allows",
            excerpt(id)
        ))),
    }
}

/// Whether its calls may name this model.
///
/// # Errors
/// [`Error::PermissionDenied`].
pub(super) fn for_model(identity: &Identity, id: &str) -> Result<(), Error> {
    match scopes::allow_model(&identity.scopes, id) {
        true => Ok(()),
        false => Err(Error::PermissionDenied(format!(
            "naming the model `{}`; name a scenario instead, or ask for a scope that lists the model",
            excerpt(id)
        ))),
    }
}
