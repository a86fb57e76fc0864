//! Tests the allocator against a model, which has the bytes that each owner wrote into its block.

use core::alloc::{GlobalAlloc as _, Layout};
use core::cell::{Cell, RefCell};
use core::ptr;

use proptest::prelude::*;

use super::{Allocator, PAGE, Source};

/// Memory of the system, at most `limit` bytes. It is freed with the source.
struct System {
    given: RefCell<Vec<(*mut u8, Layout)>>,
    left: Cell<usize>,
}

impl System {
    fn with(limit: usize) -> Allocator<Self> {
        Allocator::new(Self { given: RefCell::default(), left: Cell::new(limit) })
    }

    fn bytes(&self) -> usize {
        self.given.borrow().iter().map(|(_, layout)| layout.size()).sum()
    }
}

// SAFETY: the system's memory is writable and stays until the source is dropped, which is after the allocator's last use.
unsafe impl Source for System {
    fn grow(&self, bytes: usize) -> *mut u8 {
        assert_eq!(bytes % PAGE, 0);
        let Some(left) = self.left.get().checked_sub(bytes) else { return ptr::null_mut() };
        self.left.set(left);
        let layout = Layout::from_size_align(bytes, PAGE).unwrap();
        // SAFETY: the size is not 0.
        let block = unsafe { std::alloc::alloc(layout) };
        self.given.borrow_mut().push((block, layout));
        block
    }
}

impl Drop for System {
    fn drop(&mut self) {
        for (block, layout) in self.given.get_mut().drain(..) {
            // SAFETY: `grow` has allocated it with this layout.
            unsafe { std::alloc::dealloc(block, layout) };
        }
    }
}

/// A block that the model owns: its layout, and the value of all its bytes.
struct Owned {
    block: *mut u8,
    layout: Layout,
    byte: u8,
}

impl Owned {
    fn filled(block: *mut u8, layout: Layout, byte: u8) -> Self {
        assert!(block.addr().is_multiple_of(layout.align()), "{layout:?}");
        // SAFETY: the allocator has returned the block for this layout.
        unsafe { block.write_bytes(byte, layout.size()) };
        Self { block, layout, byte }
    }

    fn check(&self, bytes: usize) {
        // SAFETY: the block has that many bytes, and `filled` has written them.
        let content = unsafe { core::slice::from_raw_parts(self.block, bytes) };
        assert!(content.iter().all(|&byte| byte == self.byte), "a block was changed by another owner");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Allocate { size: usize, align: usize },
    Free(prop::sample::Index),
    Resize(prop::sample::Index, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = || prop_oneof![16 => 1_usize..300, 4 => 300_usize..9_000, 1 => 9_000_usize..200_000];
    let step = prop_oneof![
        3 => (size(), 0_u32..8).prop_map(|(size, align)| Step::Allocate { size, align: 1 << align }),
        2 => any::<prop::sample::Index>().prop_map(Step::Free),
        2 => (any::<prop::sample::Index>(), size()).prop_map(|(index, size)| Step::Resize(index, size)),
    ];
    // Miri is slow.
    prop::collection::vec(step, 1..if cfg!(miri) { 12 } else { 200 })
}

/// The number of owned blocks of each size, and its peak. The index is the exponent of the size.
#[derive(Default)]
struct Sizes {
    owned: [usize; 32],
    most: [usize; 32],
}

impl Sizes {
    fn of(layout: Layout) -> usize {
        layout.size().max(layout.align()).max(16).next_power_of_two().trailing_zeros() as usize
    }

    fn add(&mut self, layout: Layout) {
        let at = Self::of(layout);
        self.owned[at] += 1;
        self.most[at] = self.most[at].max(self.owned[at]);
    }

    fn remove(&mut self, layout: Layout) {
        self.owned[Self::of(layout)] -= 1;
    }

    /// The most memory that the allocator may have taken: each size's peak, and a free half of each size below a page.
    fn bound(&self) -> usize {
        self.most.iter().enumerate().map(|(exponent, most)| most << exponent).sum::<usize>() + PAGE
    }
}

/// Does the steps. Checks each block before it is freed, and frees all blocks at the end.
fn run(allocator: &Allocator<System>, steps: &[Step], sizes: &mut Sizes) {
    let mut owned = Vec::<Owned>::new();
    for (step, byte) in steps.iter().zip((1..=u8::MAX).cycle()) {
        match step {
            &Step::Allocate { size, align } => {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: the size is not 0.
                let block = unsafe { allocator.alloc(layout) };
                assert!(!block.is_null());
                sizes.add(layout);
                owned.push(Owned::filled(block, layout, byte));
            }
            Step::Free(index) if !owned.is_empty() => {
                let block = owned.swap_remove(index.index(owned.len()));
                block.check(block.layout.size());
                let Owned { block, layout, .. } = block;
                sizes.remove(layout);
                // SAFETY: the allocator has returned the block for this layout, and it is used no more.
                unsafe { allocator.dealloc(block, layout) };
            }
            Step::Resize(index, size) if !owned.is_empty() => {
                let at = index.index(owned.len());
                let Owned { block, layout, byte: before } = owned.swap_remove(at);
                let resized = Layout::from_size_align(*size, layout.align()).unwrap();
                if Sizes::of(layout) != Sizes::of(resized) {
                    // Both blocks exist for a moment.
                    sizes.add(resized);
                    sizes.remove(layout);
                }
                // SAFETY: the allocator has returned the block for this layout, and only the new block is used from here on.
                let block = unsafe { allocator.realloc(block, layout, *size) };
                assert!(!block.is_null());
                Owned { block, layout: resized, byte: before }.check(layout.size().min(*size));
                owned.push(Owned::filled(block, resized, byte));
            }
            Step::Free(_) | Step::Resize(..) => {}
        }
    }
    for owned in owned {
        owned.check(owned.layout.size());
        let Owned { block, layout, .. } = owned;
        sizes.remove(layout);
        // SAFETY: the allocator has returned the block for this layout, and it is used no more.
        unsafe { allocator.dealloc(block, layout) };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 8 } else { 128 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_block_belongs_to_one_owner_and_memory_is_bounded(steps in steps()) {
        let (allocator, mut sizes) = (System::with(usize::MAX), Sizes::default());
        for _ in 0..3 {
            run(&allocator, &steps, &mut sizes);
            let (taken, bound) = (allocator.source.bytes(), sizes.bound());
            prop_assert!(taken <= bound, "{taken} bytes were taken, where {bound} are enough");
        }
    }
}

#[test]
fn without_more_memory_the_answer_is_null_and_the_blocks_stay() {
    let allocator = System::with(PAGE);
    let (small, large) = (Layout::new::<[u8; 100]>(), Layout::new::<[u8; PAGE]>());
    // SAFETY: no size is 0. A block is resized and freed with its own layout.
    unsafe {
        let block = allocator.alloc(small);
        let owned = Owned::filled(block, small, 7);
        assert!(allocator.alloc(large).is_null());
        assert!(allocator.realloc(block, small, PAGE).is_null());
        owned.check(100);
        assert!(!allocator.alloc(small).is_null());
        allocator.dealloc(block, small);
        assert_eq!(allocator.alloc(small), block);
    }
}

#[test]
fn an_alignment_above_a_page_is_refused() {
    let layout = Layout::from_size_align(1, 2 * PAGE).unwrap();
    // SAFETY: the size is not 0.
    assert!(unsafe { System::with(usize::MAX).alloc(layout) }.is_null());
}

#[test]
fn the_largest_layout_is_refused() {
    let layout = Layout::from_size_align(isize::MAX.unsigned_abs(), 1).unwrap();
    // SAFETY: the size is not 0.
    assert!(unsafe { System::with(1 << 20).alloc(layout) }.is_null());
}

#[test]
fn a_block_that_has_room_stays_where_it_is() {
    let allocator = System::with(PAGE);
    // SAFETY: no size is 0, and the block is resized with its own layout.
    unsafe {
        let block = allocator.alloc(Layout::new::<[u8; 17]>());
        assert_eq!(allocator.realloc(block, Layout::new::<[u8; 17]>(), 32), block);
        assert_ne!(allocator.realloc(block, Layout::new::<[u8; 32]>(), 33), block);
    }
}
