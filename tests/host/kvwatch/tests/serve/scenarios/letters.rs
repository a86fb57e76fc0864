//! Events that cannot be handled.

use super::{LONG, consumer, drained, pause, put, put_many, setup, tests};
use crate::record::{self, Failure, check, tail, wait_for};
use crate::watcher::Process;

tests!(d4_full_disk_keeps_the_event_until_its_letter_is_written, d4_event_without_attempts_left_is_in_the_file,);

async fn d4_event_without_attempts_left_is_in_the_file() -> Result<(), Failure> {
    let (_server, context, folder, options) = setup().await?;
    let bad = put(&context, "a", "trap").await?;
    put(&context, "a", "good").await?;
    put(&context, "b", "good").await?;
    let mut process = Process::start(&options)?;
    wait_for(folder.path(), 3, LONG).await?;
    let attempts = record::read(folder.path()).iter().filter(|line| line.sequence == bad).count();
    if attempts != 3 || record::letters(folder.path()) != [bad] {
        return Err(format!("{attempts} attempts, letters {:?}", record::letters(folder.path())).into());
    }
    process.signal("-TERM")?;
    process.end().await?;
    check(folder.path(), 3, &[])
}

async fn d4_full_disk_keeps_the_event_until_its_letter_is_written() -> Result<(), Failure> {
    let (_server, context, folder, options) = setup().await?;
    let letters = folder.path().join("dead.jsonl");
    // A write to this device fails like a write to a full disk.
    std::os::unix::fs::symlink("/dev/full", &letters)?;
    let bad = put(&context, "bad", "trap").await?;
    put(&context, "bad", "later").await?;
    put_many(&context, 10, 100).await?;
    let mut process = Process::start(&options)?;
    let failures =
        || std::fs::read_to_string(folder.path().join("log")).map_or(0, |it| it.matches("cannot be written").count());
    let begun = std::time::Instant::now();
    // The other keys continue. Only the bad event and the later one of its key remain.
    while failures() < 3 || record::read(folder.path()).iter().filter(|it| it.end).count() < 100 {
        if begun.elapsed() > LONG {
            return Err(format!("{} failed letters\n{}", failures(), tail(folder.path())).into());
        }
        pause(50).await;
    }
    let pending = consumer(&context).await?.num_ack_pending;
    if pending != 2 || record::read(folder.path()).iter().any(|line| line.sequence == bad + 1) {
        return Err(format!("{pending} events are pending; the letter is not written").into());
    }
    // A process that dies now has lost nothing.
    process.kill()?;
    let _process = Process::start(&options)?;
    let before = failures();
    while failures() <= before {
        if begun.elapsed() > LONG {
            return Err(format!("the second process does not try\n{}", tail(folder.path())).into());
        }
        pause(50).await;
    }
    // The disk has room again.
    std::fs::remove_file(&letters)?;
    drained(&context, folder.path(), LONG).await?;
    if record::letters(folder.path()) != [bad] {
        return Err(format!("dead letters: {:?}", record::letters(folder.path())).into());
    }
    wait_for(folder.path(), 102, LONG).await?;
    check(folder.path(), 102, &[])
}
