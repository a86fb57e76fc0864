//! Tests O9, "`Drop` never panics and never allocates", and O4, "nothing is allocated on the size's word alone", with a counting
//! allocator. A test binary has one allocator, so these tests have a binary of their own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{BufRead as _, Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use inbound_keyvalue::testing::{Personality, Size, SizeHint, TestHost};
use inbound_keyvalue::{Bucket, Error, HandleWatch, InputStream, MAX_READ, Payload, Value};

/// The system's allocator, which counts what each thread allocates.
struct Counting;

thread_local! {
    static COUNTED: Cell<Counted> = const { Cell::new(Counted { allocations: 0, bytes: 0, largest: 0 }) };
}

/// The bytes that a thread has allocated, including those that it has freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    allocations: u64,
    bytes: u64,
    largest: usize,
}

impl Counting {
    fn count(size: usize) {
        // A thread may also allocate while it ends.
        let _ = COUNTED.try_with(|counted| {
            let before = counted.get();
            counted.set(Counted {
                allocations: before.allocations + 1,
                bytes: before.bytes + size as u64,
                largest: before.largest.max(size),
            });
        });
    }
}

// SAFETY: every call goes to the system's allocator unchanged. Counting allocates nothing, because the thread's counter is a
// constant without a destructor.
#[allow(unsafe_code, reason = "an allocator is unsafe to write")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size);
        // SAFETY: the caller keeps the promises of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The bytes that `act` allocates, and its result.
fn counted<T>(act: impl FnOnce() -> T) -> (T, Counted) {
    COUNTED.set(Counted { allocations: 0, bytes: 0, largest: 0 });
    let result = act();
    (result, COUNTED.get())
}

struct Idle;

impl HandleWatch for Idle {}

fn host(deviate: impl FnOnce(&mut Personality)) -> TestHost<Idle> {
    TestHost::with_watcher(Personality::deviating(deviate), || Idle)
}

#[test]
fn the_allocator_counts() {
    let (list, counted) = counted(|| vec![1_u8; 1000]);
    assert_eq!((list.len(), counted), (1000, Counted { allocations: 1, bytes: 1000, largest: 1000 }));
}

/// Drops the result of `make`, and fails if the drop allocates.
#[track_caller]
fn drops_without_allocating<T>(what: &str, host: &mut TestHost<Idle>, make: impl FnOnce(&mut TestHost<Idle>) -> T) {
    let dropped = make(host);
    let ((), counted) = counted(|| drop(dropped));
    assert_eq!(counted.allocations, 0, "dropping {what} allocates: {counted:?}");
    let violations = host.settle();
    assert!(violations.is_empty(), "dropping {what}: {violations:?}");
}

/// A stream of which a part is in the guest.
fn held(host: &mut TestHost<Idle>) -> InputStream {
    let mut stream = host.payload("a line\nanother").into_stream().unwrap();
    stream.read_line(&mut String::new()).unwrap();
    stream
}

fn begun(host: &mut TestHost<Idle>) -> Payload {
    let mut payload = host.payload("a line\nanother");
    payload.read_line(&mut String::new()).unwrap();
    payload
}

fn written() -> Value {
    let mut value = Value::new();
    value.write_all(b"text").unwrap();
    value
}

#[test]
fn o9_no_drop_allocates() {
    let mut host = host(|_| {});
    // The test host itself keeps lists of free numbers and of past handles. They grow here, and not during the measurement.
    for _ in 0..2 {
        let many: Vec<_> =
            (0..100).map(|_| (host.event_bucket(), host.payload("x"), Value::new(), written())).collect();
        let streams: Vec<_> = (0..100).map(|_| held(&mut host)).collect();
        drop((many, streams));
    }
    host.settle();
    let host = &mut host;
    drops_without_allocating("the bucket of an event", host, TestHost::event_bucket);
    drops_without_allocating("an opened bucket", host, |_| Bucket::open("users").unwrap());
    drops_without_allocating("an unread payload", host, |host| host.payload("text"));
    drops_without_allocating("a payload being read", host, begun);
    drops_without_allocating("a payload with a limit", host, |host| host.payload("text").limit(2));
    drops_without_allocating("an unread stream", host, |host| host.payload("text").into_stream().unwrap());
    drops_without_allocating("a stream with a buffer", host, held);
    drops_without_allocating("two streams with buffers", host, |host| (held(host), held(host)));
    drops_without_allocating("an iterator over chunks", host, |host| held(host).into_iter());
    drops_without_allocating("a new value", host, |_| Value::new());
    drops_without_allocating("a value with a body", host, |_| written());
    drops_without_allocating("a finished value", host, |_| {
        let mut value = written();
        value.finish().unwrap();
        value
    });
    drops_without_allocating("an error", host, |host| host.payload("text").into_bytes_limited(1).unwrap_err());
}

#[test]
fn o9_no_drop_of_what_failed_allocates() {
    let mut host = host(|p| {
        p.open_bucket_error = Some("locked".to_owned());
        p.consume_sync_error = Some("gone".to_owned());
        p.value_body_error = true;
        p.read.size = Size::Fixed(2);
        p.read.error_at = Some(2);
    });
    let host = &mut host;
    drops_without_allocating("a failed stream", host, |host| {
        let mut stream = host.payload("text").into_stream().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap_err();
        stream
    });
    drops_without_allocating("a refused value", host, |_| {
        let mut value = Value::new();
        value.write_all(b"text").unwrap_err();
        value
    });
    drops_without_allocating("an error with a reason", host, |_| Bucket::open("users").unwrap_err());
    drops_without_allocating("an error of a payload", host, |host| host.payload("text").into_bytes().unwrap_err());
}

#[test]
fn o9_no_drop_panics_while_a_handler_panics() {
    let mut host = host(|_| {});
    let made =
        AssertUnwindSafe((host.event_bucket(), host.payload("text"), begun(&mut host), held(&mut host), written()));
    let caught = catch_unwind(move || {
        let _made = made;
        std::panic::resume_unwind(Box::new("the handler's own"));
    });
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "the handler's own");
    let violations = host.settle();
    assert!(violations.is_empty(), "{violations:?}");
}

/// More than the SDK may need for a payload of a few bytes: the chunk of its stream, and the test host's copies.
const SMALL: u64 = 2 * MAX_READ as u64;

#[test]
fn o4_nothing_is_allocated_on_the_word_of_size_alone() {
    type Read = fn(Payload) -> Result<Vec<u8>, Error>;
    let ways: [(&str, Read); 9] = [
        ("size", |payload| {
            assert_eq!(payload.size(), Some(u64::MAX));
            payload.into_vec()
        }),
        ("into_bytes", |payload| payload.into_bytes().map(Vec::from)),
        ("into_string", |payload| payload.into_string().map(String::into_bytes)),
        ("into_bytes_limited", |payload| payload.into_bytes_limited(usize::MAX).map(Vec::from)),
        ("limit", |payload| payload.limit(1 << 40).into_vec()),
        ("into_vec of a begun payload", |mut payload| {
            let mut first = vec![0; 1];
            payload.read_exact(&mut first).unwrap();
            first.extend(payload.into_vec()?);
            Ok(first)
        }),
        ("read_to_end", |mut payload| {
            let mut all = Vec::new();
            payload.read_to_end(&mut all).unwrap();
            Ok(all)
        }),
        ("chunks", |payload| {
            let chunks: Result<Vec<_>, _> = payload.into_stream()?.into_iter().collect();
            Ok(chunks?.concat())
        }),
        ("lines", |payload| Ok(payload.lines().map(Result::unwrap).collect::<String>().into_bytes())),
    ];
    for (way, read) in ways {
        let mut host = host(|p| p.size = SizeHint::Max);
        let payload = host.payload("a few bytes");
        let (read, counted) = counted(|| read(payload));
        assert_eq!(read.unwrap(), b"a few bytes", "{way}");
        assert!(counted.bytes < SMALL, "{way} allocates {counted:?} for a size of u64::MAX and a payload of 11 bytes");
        let violations = host.settle();
        assert!(violations.is_empty(), "{way}: {violations:?}");
    }
}

#[test]
fn o4_a_limit_keeps_memory_near_the_limit_whatever_the_size_is() {
    for size in [SizeHint::Zero, SizeHint::True, SizeHint::Max] {
        let mut host = host(|p| p.size = size);
        let payload = host.payload(inbound_keyvalue::testing::Content::repeat("x", 1 << 40));
        let (error, counted) = counted(|| payload.into_bytes_limited(1000).unwrap_err());
        assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "{error}");
        assert!(counted.bytes < SMALL, "{counted:?} for a limit of 1000 bytes and {size:?}");
        let violations = host.settle();
        assert!(violations.is_empty(), "{violations:?}");
    }
}
