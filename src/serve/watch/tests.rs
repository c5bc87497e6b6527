//! Plays the ways in which programs replace a file, on real files. The clock is paused and is moved by the waits of the
//! watch itself.

use std::os::unix::fs::symlink;

use tokio::time::timeout;

use super::*;

const EVERY: Duration = Duration::from_secs(5);

/// A folder of its own, which nothing is in.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("target/tmp/watch-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn watch(path: &Path) -> Watch {
    Watch::new(EVERY, [(path.to_owned(), fs::read(path).ok())])
}

/// Waits until a change is reported.
async fn changed(watch: &mut Watch) {
    while watch.next_look().await.is_empty() {}
}

/// Whether a change is reported within twice the period.
async fn is_seen(watch: &mut Watch) -> bool {
    timeout(2 * EVERY, changed(watch)).await.is_ok()
}

/// Lets this much time pass for the watch, which must report nothing.
async fn nothing_for(watch: &mut Watch, time: Duration) {
    assert!(timeout(time, changed(watch)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn each_exchange_of_a_config_map_is_seen() {
    let folder = folder("mounted");
    let mount = |number: usize| {
        let name = format!("..{number}");
        fs::create_dir(folder.join(&name)).unwrap();
        fs::write(folder.join(&name).join("file"), format!("content {number}")).unwrap();
        symlink(&name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    mount(0);
    symlink("..data/file", folder.join("file")).unwrap();
    let mut watch = watch(&folder.join("file"));

    for number in 1..4 {
        mount(number);
        fs::remove_dir_all(folder.join(format!("..{}", number - 1))).unwrap();

        assert!(is_seen(&mut watch).await, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_seen_that_is_renamed_over_written_in_place_or_deleted_and_created() {
    let folder = folder("replaced");
    let file = folder.join("file");
    fs::write(&file, "one").unwrap();
    let mut watch = watch(&file);

    fs::write(folder.join("beside"), "two").unwrap();
    fs::rename(folder.join("beside"), &file).unwrap();
    assert!(is_seen(&mut watch).await);

    fs::write(&file, "three").unwrap();
    assert!(is_seen(&mut watch).await);

    fs::remove_file(&file).unwrap();
    nothing_for(&mut watch, EVERY).await;
    fs::write(&file, "four").unwrap();
    assert!(is_seen(&mut watch).await);
}

#[tokio::test(start_paused = true)]
async fn a_file_in_two_halves_or_truncated_first_is_reported_once_and_whole() {
    let file = folder("halves").join("file");
    fs::write(&file, "first half, second half").unwrap();
    let mut watch = watch(&file);

    fs::write(&file, "first half, ").unwrap();
    nothing_for(&mut watch, EVERY + Duration::from_millis(1500)).await;
    fs::write(&file, "first half, another half").unwrap();
    assert!(is_seen(&mut watch).await);
    nothing_for(&mut watch, 3 * COMPARED).await;

    fs::write(&file, "").unwrap();
    nothing_for(&mut watch, 2 * EVERY).await;
    fs::write(&file, "first half, a third half").unwrap();
    assert!(is_seen(&mut watch).await);
}

#[tokio::test(start_paused = true)]
async fn a_touched_file_is_no_news() {
    let file = folder("touched").join("file");
    fs::write(&file, "content").unwrap();
    let mut watch = watch(&file);

    fs::write(&file, "content").unwrap();

    nothing_for(&mut watch, 3 * COMPARED).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_is_reported_after_half_a_minute() {
    let file = folder("gone").join("file");
    fs::write(&file, "content").unwrap();
    let mut watch = watch(&file);

    fs::remove_file(&file).unwrap();

    nothing_for(&mut watch, Duration::from_secs(30)).await;
    assert!(is_seen(&mut watch).await);
    nothing_for(&mut watch, 3 * COMPARED).await;
}

#[tokio::test(start_paused = true)]
async fn a_period_of_zero_looks_at_nothing() {
    let file = folder("off").join("file");
    fs::write(&file, "old").unwrap();
    let mut watch = Watch::new(Duration::ZERO, [(file.clone(), Some(b"old".to_vec()))]);

    fs::write(&file, "new").unwrap();

    nothing_for(&mut watch, 3 * COMPARED).await;
}
