//! Which methods has the contract? The build writes them down, so that tables of them are complete or do not compile.

include!(concat!(env!("OUT_DIR"), "/rpcs.rs"));

impl Rpc {
    /// The method at this path; `None` if the contract has none there.
    pub(crate) fn at(path: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rpc| rpc.path() == path)
    }

    /// Its name without that of its service.
    pub(crate) fn name(self) -> &'static str {
        let path = self.path();
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }
}
