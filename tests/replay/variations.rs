//! What is read beside each recording: its body in other pieces, its beginnings, and damaged copies.

use crate::laws::{self, Content, Reading};

// Numbers of random variations of each body; the seed is fixed.
const RANDOM_CUTS: usize = 8;
const PREFIXES: usize = 64;
const CORRUPTIONS: usize = 32;

/// The laws that the reading of `body` breaks; `whole` is what comes of it in one piece.
pub(crate) fn broken_laws(
    body: &[u8],
    whole: &Reading,
    read: impl Fn(&[&[u8]]) -> Reading,
) -> Vec<String> {
    let mut complaints = Vec::new();
    complaints.extend(laws::shape(whole));

    let by_bytes = read(&body.chunks(1).collect::<Vec<_>>());
    if !by_bytes.is_same(whole) {
        complaints.push("read byte by byte it gives other events".into());
    }
    if let (Some(complete), true) = (by_bytes.complete_after, whole.end.is_ok()) {
        let ended_there = read(&[&body[..complete]]);
        if Content::of(&ended_there.answer) != Content::of(&whole.answer) {
            let length = body.len();
            complaints.push(format!(
                "{complete} of {length} bytes pass for a complete answer"
            ));
        }
    }

    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..RANDOM_CUTS {
        let mut cuts: Vec<usize> = (0..random.usize(1..20))
            .map(|_| random.usize(0..=body.len()))
            .collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
        if !read(&pieces).is_same(whole) {
            complaints.push(format!("cut at {cuts:?} it gives other events"));
        }
    }

    for _ in 0..PREFIXES {
        let cut = random.usize(0..=body.len());
        let line_end = memchr::memrchr(b'\n', &body[..cut]).filter(|_| random.bool());
        let cut = line_end.map_or(cut, |line_end| line_end + 1);
        complaints.extend(laws::of_beginning(body, cut, whole, &read));
    }

    for _ in 0..CORRUPTIONS {
        let mut corrupt = body.to_vec();
        for _ in 0..random.usize(1..4) {
            if let Some(byte) = random.choice(&mut corrupt) {
                *byte = random.choice(*b"\n\r\"{}[]:, \\0\xff").unwrap_or_default();
            }
        }
        let broken = laws::shape(&read(&[&corrupt]));
        complaints.extend(broken.map(|broken| format!("corrupted: {broken}")));
    }
    complaints
}
