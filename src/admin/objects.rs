//! Which accounts and keys do the configuration file and the store have, and which directory do they make?

use crate::identity::directory::Directory;
use crate::identity::directory::complaints::DirectoryMistake;
use crate::identity::directory::numbers::AccountNumbers;
use crate::identity::record::{AccountRecord, KeyRecord, Nameable};
use crate::identity::settings::Settings;
use crate::store::{StoreError, StoreReading};

/// What the configuration file says of accounts and keys. It is read-only here.
#[derive(Clone, Debug, Default)]
pub(super) struct FileObjects {
    /// The file's name, for messages.
    pub(super) name: String,
    pub(super) settings: Settings,
}

/// Accounts and keys of the store, as the directory takes them.
#[derive(Clone, Debug, Default)]
pub struct StoreObjects {
    /// Its accounts.
    pub accounts: Vec<AccountRecord>,
    /// Its keys.
    pub keys: Vec<KeyRecord>,
}

impl StoreObjects {
    /// What the store holds at this moment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(reading: &StoreReading<'_>) -> Result<Self, StoreError> {
        let accounts = reading.accounts()?.into_iter();
        let keys = reading.keys()?.into_iter();
        Ok(Self {
            accounts: accounts.map(|stored| stored.account).collect(),
            keys: keys.map(|stored| stored.key).collect(),
        })
    }
}

impl FileObjects {
    /// The directory of these objects and those of the store. Mistakes name only these other accounts, if they are given.
    ///
    /// # Errors
    /// Every mistake. The positions in them count the accounts and keys of the file first.
    pub(super) fn directory(
        &self,
        store: &StoreObjects,
        nameable: Option<&Nameable>,
    ) -> Result<Directory, Vec<DirectoryMistake>> {
        let (previous, numbers) = (Directory::default(), AccountNumbers::default());
        self.settings
            .directory(&store.accounts, &store.keys, &previous, &numbers, nameable)
    }
}
