//! Which is the greatest of the numbers that came last? In blocks, so that old ones fade without a list of all. Pure.

/// The greatest of the last 1,000 numbers, or of up to 100 more.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecentMost {
    pub(super) blocks: [u64; Self::BLOCKS],
    pub(super) current: usize,
    /// Numbers in the current block.
    pub(super) filled: u32,
}

impl RecentMost {
    /// The blocks. Of each, the greatest number alone is known.
    pub(super) const BLOCKS: usize = 11;
    /// Numbers in a block.
    pub(super) const BLOCK: u32 = 100;

    /// Takes a number in.
    pub(super) fn record(&mut self, number: u64) {
        if self.filled == Self::BLOCK {
            self.current = (self.current + 1) % Self::BLOCKS;
            self.blocks[self.current] = 0;
            self.filled = 0;
        }
        self.filled += 1;
        let block = &mut self.blocks[self.current];
        *block = number.max(*block);
    }

    /// The greatest; 0 if there are none.
    pub(super) fn most(&self) -> u64 {
        self.blocks.into_iter().max().unwrap_or(0)
    }
}

impl Default for RecentMost {
    fn default() -> Self {
        Self {
            blocks: [0; Self::BLOCKS],
            current: 0,
            filled: 0,
        }
    }
}
