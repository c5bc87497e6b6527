//! Where is a body cut into the pieces in which it arrives?

/// The body in pieces, their number and places drawn from `seed`.
pub(crate) fn pieces(body: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut random = fastrand::Rng::with_seed(seed.into());
    let mut cuts: Vec<usize> = (0..random.usize(1..12))
        .map(|_| random.usize(0..=body.len()))
        .collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect()
}
