//! An allocator that puts a tag in front of each allocation and checks it later.

use std::alloc::{GlobalAlloc, Layout, System};

/// Memory of another allocator has no tag. To release it here is a fault that most allocators do not notice.
pub struct Tagged;

const TAG: u64 = 0x7461_6767_6564_2121;

/// Large enough for the tag, and a multiple of every alignment in use.
const HEADER: usize = 16;

unsafe impl GlobalAlloc for Tagged {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe {
            let start = System.alloc(with_header(layout));
            if start.is_null() {
                return start;
            }
            start.cast::<u64>().write(TAG ^ layout.size() as u64);
            start.add(HEADER)
        }
    }

    unsafe fn dealloc(&self, allocation: *mut u8, layout: Layout) {
        unsafe {
            let start = allocation.sub(HEADER);
            if start.cast::<u64>().read() != TAG ^ layout.size() as u64 {
                // A panic would allocate.
                core::arch::wasm32::unreachable();
            }
            start.cast::<u64>().write(0);
            System.dealloc(start, with_header(layout));
        }
    }
}

fn with_header(layout: Layout) -> Layout {
    Layout::from_size_align(layout.size() + HEADER, layout.align().max(HEADER))
        .expect("it is no larger than the memory")
}
