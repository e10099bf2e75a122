use std::fs;

use super::*;

fn open(folder: &Path, limit: Option<u64>) -> io::Result<Spool> {
    // Each is another process.
    Spool::open(folder, limit, &World::real())
}

fn digest() -> Digest {
    Digest::of(mirror_oci::Algorithm::Sha256, b"x")
}

/// Takes room step by step, as a download does.
async fn fill(spool: &Spool, room: &Room, size: u64) -> io::Result<()> {
    for bytes in (10..=size).step_by(10) {
        spool.grow(room, bytes, size, || ()).await?;
    }
    room.is_enough();
    Ok(())
}

#[tokio::test]
async fn room_is_taken_as_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), Some(160)).unwrap();
    // What somebody claims takes nothing.
    let claimed = spool.room(0);
    spool.grow(&claimed, 10, 1 << 40, || ()).await.unwrap();
    assert_eq!(*spool.budget.used(), 10);
    let rooms = [spool.room(0), spool.room(0)];
    for room in &rooms {
        fill(&spool, room, 70).await.unwrap();
    }
    assert_eq!(*spool.budget.used(), 150);
    drop(rooms);
    assert_eq!(*spool.budget.used(), 10);
}

#[tokio::test]
async fn all_that_have_begun_come_to_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), Some(100)).unwrap();
    let rooms: Vec<Room> = (0..5).map(|_| spool.room(0)).collect();
    let fills = rooms.iter().map(|room| fill(&spool, room, 80));
    let all = futures_util::future::join_all(fills);
    let all = tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    drop(rooms);
    assert_eq!(*spool.budget.used(), 0);
}

#[tokio::test]
async fn what_the_disk_can_not_hold_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), None).unwrap();
    let error = spool.check(u64::MAX / 2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    spool.check(1000).unwrap();
}

#[tokio::test]
async fn leftovers_count_until_somebody_needs_their_room() {
    let folder = tempfile::tempdir().unwrap();
    let other = Digest::of(mirror_oci::Algorithm::Sha256, b"y");
    for digest in [digest(), other.clone()] {
        fs::write(folder.path().join(file_name(&digest)), [0; 60]).unwrap();
    }
    let spool = open(folder.path(), Some(160)).unwrap();
    assert_eq!(*spool.budget.used(), 120);
    let wanted = spool.file(&digest()).unwrap();
    assert_eq!((*spool.budget.used(), wanted.room.taken().bytes), (120, 60));
    let make_room = || spool.let_go_of_leftovers(|name| name == file_name(&digest()));
    spool.grow(&wanted.room, 150, 150, make_room).await.unwrap();
    assert_eq!(*spool.budget.used(), 150);
    assert!(!folder.path().join(file_name(&other)).exists());
}

#[test]
fn the_folder_may_vanish() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("spool");
    let (one, two) = (open(&place, None).unwrap(), open(&place, None).unwrap());
    drop(one);
    assert!(!place.exists());
    assert!(two.file(&digest()).unwrap().resumable);
}

#[tokio::test]
async fn room_can_come_from_whoever_lets_go_later() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), Some(160)).unwrap();
    let _beyond = spool.budget.beyond.clone().acquire_owned().await.unwrap();
    let room = spool.room(0);
    fill(&spool, &room, 150).await.unwrap();
    let held = Mutex::new(Some(room));
    let asked = AtomicU64::new(0);
    let let_go = || {
        if asked.fetch_add(1, Ordering::Relaxed) > 2 {
            held.lock().unwrap().take();
        }
    };
    spool.grow(&spool.room(0), 80, 80, let_go).await.unwrap();
}

#[test]
fn two_users_of_one_blob_have_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path(), None).unwrap(), open(folder.path(), None).unwrap());
    let first = one.file(&digest()).unwrap();
    let second = two.file(&digest()).unwrap();
    let another = two.file(&digest()).unwrap();
    assert!(first.resumable && !second.resumable && !another.resumable);
    assert!(first.path != second.path && second.path != another.path);
    drop(first);
    let third = two.file(&digest()).unwrap();
    assert_eq!(third.path, folder.path().join(digest().as_str().replace(':', "-")));
}

/// A spool on a disk of its own size.
fn on_a_disk(folder: &Path, bytes: u64) -> Spool {
    let mut world = World::real();
    world.space.disk = Some(bytes);
    Spool::open(folder, None, &world).unwrap()
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_do_not_wake_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let spool = on_a_disk(folder.path(), 100);
    let (full, rooms) = (spool.room(0), [spool.room(0), spool.room(0), spool.room(0)]);
    assert!(full.take(50));
    let asked = AtomicU64::new(0);
    let wait = |room| {
        spool.grow(room, 90, 90, || {
            asked.fetch_add(1, Ordering::Relaxed);
            spool.let_go_of_leftovers(|_| true);
        })
    };
    let all = futures_util::future::join_all(rooms.iter().map(wait));
    assert!(tokio::time::timeout(Duration::from_secs(10), all).await.is_err());
    let asked = asked.into_inner();
    assert!(asked < 400, "{asked} times in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_not_free_before_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let spool = on_a_disk(folder.path(), 200);
    let (other, room) = (spool.room(0), spool.room(0));
    assert!(other.take(60));
    // The disk has room for all of it, as long as nobody writes what is theirs.
    assert!(spool.grow(&room, 150, 150, || ()).await.is_err());
    drop(other);
    spool.grow(&room, 150, 150, || ()).await.unwrap();
}

#[test]
fn what_a_failed_download_leaves_is_used_until_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), Some(100)).unwrap();
    let Spooled { path, mut file, room, .. } = spool.file(&digest()).unwrap();
    assert!(room.take(50));
    room.writes(40);
    file.append(&[0; 40]).unwrap();
    room.leave(&path);
    drop((file, room));
    assert_eq!(*spool.budget.used(), 40);
    spool.let_go_of_leftovers(|_| false);
    assert_eq!((*spool.budget.used(), path.exists()), (0, false));
}

#[tokio::test(start_paused = true)]
async fn who_waits_does_not_give_up_while_others_get_on() {
    let folder = tempfile::tempdir().unwrap();
    let spool = on_a_disk(folder.path(), 100);
    let (slow, room) = (spool.room(0), spool.room(0));
    assert!(slow.take(50));
    let sends = async {
        for _ in 0..20 {
            tokio::time::sleep(LONGEST_WAIT / 2).await;
            slow.moves();
        }
        drop(slow);
    };
    let (grown, ()) = tokio::join!(spool.grow(&room, 80, 80, || ()), sends);
    grown.unwrap();
}
