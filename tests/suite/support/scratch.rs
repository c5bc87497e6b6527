//! Where do tests keep their files? Each file and folder is in a folder of its own: no path is ever given to two tests, nor
//! to two processes that run at a time, so that no test meets what another has written.
//!
//! The folders have numbers, not the names of tests: a test that looks for a word in what is said of a path would find the
//! words of its own name there. A test that fails prints the paths that it was given.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{FlockOperation, flock};

/// How long the path of a socket may be on every system, in bytes.
const LONGEST_OF_SOCKETS: usize = 103;

/// A path that is nobody else's, and at which nothing is.
pub(crate) fn path(name: &str) -> PathBuf {
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    let number = GIVEN.fetch_add(1, Ordering::Relaxed);
    let folder = OF_THIS_PROCESS.folder.join(number.to_string());
    fs::create_dir(&folder).unwrap();
    let path = folder.join(name);
    println!("in this test, `{name}` is {}", path.display());
    path
}

/// A file of this test alone, with this text.
pub(crate) fn file(name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = path(name);
    fs::write(&path, text).unwrap();
    path
}

/// A folder of this test alone, which nothing is in.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = path(name);
    fs::create_dir(&path).unwrap();
    path
}

/// A path that is short enough for a Unix socket, whatever stands before it.
pub(crate) fn socket() -> PathBuf {
    let path = path("s");
    let length = path.as_os_str().len();
    assert!(
        length <= LONGEST_OF_SOCKETS,
        "{} has {length} bytes, and a socket may have {LONGEST_OF_SOCKETS}: let `CARGO_TARGET_DIR` name a shorter path",
        path.display()
    );
    path
}

static OF_THIS_PROCESS: LazyLock<Claimed> =
    LazyLock::new(|| Claimed::within(Path::new(env!("CARGO_TARGET_TMPDIR"))));

/// A folder that this process alone uses, for as long as this is alive.
struct Claimed {
    folder: PathBuf,
    lock: File,
}

impl Claimed {
    /// Takes the first folder that no process uses. What an earlier run has left there goes: leftovers of no more runs stay
    /// than have ever run at a time, and those of the last one can be looked at.
    fn within(place: &Path) -> Self {
        for number in 0_u32.. {
            let folder = place.join(format!("suite-{number}"));
            let lock = File::create(folder.with_extension("lock")).unwrap();
            // The system lets go of it when the process ends, however it does.
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    panic!("remove {} by hand: {error}", folder.display())
                }
                _ => fs::create_dir(&folder).unwrap(),
            }
            return Self { folder, lock };
        }
        unreachable!("there are more numbers than processes")
    }
}

#[test]
fn what_a_thread_is_called_does_not_matter_to_whom_a_path_is_given() {
    let ask = || [path("same"), path("same"), folder("same"), file("same", "")];
    let named = || std::thread::Builder::new().name("same".to_owned());

    let asked = [named(), named(), std::thread::Builder::new()].map(|it| it.spawn(ask).unwrap());
    let mut given: Vec<_> = asked
        .into_iter()
        .flat_map(|it| it.join().unwrap())
        .collect();
    given.extend(ask());

    assert_eq!(given.len(), 16);
    assert!(given.iter().all(|path| path.ends_with("same")), "{given:?}");
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 16);
}

#[test]
fn processes_that_run_at_a_time_have_different_folders() {
    let place = folder("place");

    let (first, second) = (Claimed::within(&place), Claimed::within(&place));

    assert_ne!(first.folder, second.folder);
    assert!(!first.folder.starts_with(&second.folder));
    assert!(!second.folder.starts_with(&first.folder));
}

#[test]
fn a_folder_whose_process_has_ended_is_used_again_and_is_empty() {
    let place = folder("place");
    let ended = Claimed::within(&place);
    let running = Claimed::within(&place);
    fs::create_dir(ended.folder.join("0")).unwrap();
    fs::write(ended.folder.join("0/left"), "").unwrap();
    fs::write(running.folder.join("kept"), "").unwrap();
    // To drop it is not enough: a program that another test is starting may have a copy until it runs.
    flock(&ended.lock, FlockOperation::Unlock).unwrap();

    let next = Claimed::within(&place);

    assert_eq!(next.folder, ended.folder);
    assert_eq!(fs::read_dir(&next.folder).unwrap().count(), 0);
    assert!(running.folder.join("kept").exists());
}
