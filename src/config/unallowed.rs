//! Which scopes of accounts and keys of the file grant nothing, because an account above does not allow them?

use crate::identity::Scope;
use crate::identity::directory::Directory;
use crate::identity::directory::numbers::AccountNumbers;
use crate::identity::settings::Settings;

/// Adds a warning for each such scope.
pub(super) fn warn(settings: &Settings, warnings: &mut Vec<String>) {
    let (before, numbers) = (Directory::default(), AccountNumbers::default());
    // That they fit together was checked when they were read.
    let Ok(directory) = settings.directory(&[], &[], &before, &numbers, None) else {
        return;
    };
    let mut of = |whose: &str, path: &str, scopes: Option<&[Scope]>, above: &str| {
        for unallowed in directory.unallowed(scopes.unwrap_or_default(), above) {
            let (position, action) = (unallowed.position, unallowed.action.name());
            let remedy = unallowed.remedy();
            warnings.push(format!(
                "{action} grants nothing to {whose} (`{path}.scopes[{position}]`), because {unallowed}: {remedy}"
            ));
        }
    };
    for (at, account) in settings.accounts.iter().enumerate() {
        let path = format!("accounts[{at}]");
        let whose = format!("`{}`", account.id);
        let above = account.parent.as_deref().unwrap_or_default();
        of(&whose, &path, account.scopes.as_deref(), above);
    }
    for (at, key) in settings.keys.iter().enumerate() {
        let path = format!("keys[{at}]");
        let whose = format!("the key `{}`", key.id);
        of(&whose, &path, key.scopes.as_deref(), &key.account);
    }
}
