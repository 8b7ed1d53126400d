//! Who may write to the cache, and what is taken out of it.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::artifact::ArtifactKind;
use super::super::contracts::Contracts;
use super::*;
use crate::directory::DirectoryError;

fn cache() -> (tempfile::TempDir, CacheDir) {
    let directory = tempfile::tempdir().unwrap();
    let cache = CacheDir::open(&directory.path().join("cache")).unwrap();
    (directory, cache)
}

fn kept(cache: &CacheDir, image: &[u8]) -> Made {
    kept_of(cache, b"artifact", image)
}

fn kept_of(cache: &CacheDir, artifact: &[u8], image: &[u8]) -> Made {
    let made = Made {
        artifact: Digest::of(artifact),
        kind: ArtifactKind::Http02,
        contracts: Contracts::default(),
        image: Digest::of(image),
        image_bytes: image.len() as u64,
    };
    let temporary = cache.temporary();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(IMAGE_MODE)
        .open(temporary.path())
        .unwrap();
    file.write_all(image).unwrap();
    cache.keep(&temporary, &made).unwrap();
    made
}

fn names(cache: &CacheDir) -> Vec<String> {
    let entries = fs::read_dir(&cache.path).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn the_directory_is_made_for_its_owner_alone() {
    let (_directory, cache) = cache();
    assert_eq!(fs::metadata(&cache.path).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_directory_that_others_can_write_is_refused_also_behind_a_symlink() {
    let (directory, cache) = cache();
    fs::set_permissions(&cache.path, fs::Permissions::from_mode(0o775)).unwrap();
    let link = directory.path().join("link");
    symlink(&cache.path, &link).unwrap();
    for path in [&cache.path, &link] {
        let error = CacheDir::open(path).unwrap_err();
        assert!(
            matches!(
                error,
                CacheError::Directory(DirectoryError::Writable { .. })
            ),
            "{error}"
        );
        assert!(error.to_string().contains("chmod go-w"), "{error}");
    }
}

#[test]
fn a_file_in_its_place_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    fs::write(&path, "").unwrap();
    assert!(matches!(
        CacheDir::open(&path),
        Err(CacheError::Directory(DirectoryError::Unusable { .. }))
    ));
}

#[test]
fn what_was_kept_is_found_and_leaves_no_temporary() {
    let (_directory, cache) = cache();
    let made = kept(&cache, b"image");
    assert_eq!(cache.find(&made.artifact).unwrap().made, made);
    assert!(cache.find(&Digest::of(b"other")).is_none());
    assert!(
        names(&cache)
            .iter()
            .all(|name| !name.starts_with(TEMP_PREFIX))
    );
}

#[test]
fn damage_of_any_kind_is_found_and_removed() {
    type Damage = fn(&CacheDir, &Made);
    let image: fn(&CacheDir, &Made) -> PathBuf = |cache, made| cache.image_path(&made.image);
    let damages: [(&str, Damage); 6] = [
        ("changed bytes", |cache, made| {
            fs::write(cache.image_path(&made.image), b"imagE").unwrap()
        }),
        ("cut short", |cache, made| {
            fs::write(cache.image_path(&made.image), b"ima").unwrap()
        }),
        ("gone", |cache, made| {
            fs::remove_file(cache.image_path(&made.image)).unwrap()
        }),
        ("open to others", |cache, made| {
            fs::set_permissions(
                cache.image_path(&made.image),
                fs::Permissions::from_mode(0o666),
            )
            .unwrap();
        }),
        ("a symlink", |cache, made| {
            let path = cache.image_path(&made.image);
            let elsewhere = path.with_extension("moved");
            fs::rename(&path, &elsewhere).unwrap();
            symlink(elsewhere, path).unwrap();
        }),
        ("index is nonsense", |cache, made| {
            fs::write(cache.index_path(&made.artifact, made.kind.engine()), "{}").unwrap();
        }),
    ];
    for (what, damage) in damages {
        let (_directory, cache) = cache();
        let made = kept(&cache, b"image");
        damage(&cache, &made);
        assert!(cache.find(&made.artifact).is_none(), "{what}");
        assert!(
            !cache
                .index_path(&made.artifact, made.kind.engine())
                .exists(),
            "{what}"
        );
        let again = kept(&cache, b"image");
        assert!(
            cache.find(&again.artifact).is_some(),
            "{what}: {}",
            image(&cache, &made).display()
        );
    }
}

#[test]
fn an_index_that_speaks_of_another_artifact_is_refused() {
    let (_directory, cache) = cache();
    let made = kept(&cache, b"image");
    let other = Digest::of(b"other");
    fs::rename(
        cache.index_path(&made.artifact, engine::Kind::Sync),
        cache.index_path(&other, engine::Kind::Sync),
    )
    .unwrap();
    assert!(cache.find(&other).is_none());
}

#[test]
fn old_temporaries_are_swept_and_young_ones_are_not() {
    let (_directory, cache) = cache();
    let temporary = cache.temporary();
    fs::write(temporary.path(), "").unwrap();
    let made = kept(&cache, b"image");
    cache.sweep(SystemTime::now()).unwrap();
    assert!(temporary.path().exists());
    cache.sweep(SystemTime::now() + 2 * TEMP_AGE_MAX).unwrap();
    assert!(!temporary.path().exists());
    assert!(cache.find(&made.artifact).is_some());
}

/// The image's files of two artifacts, and an image that has become the same for a third.
fn several(cache: &CacheDir) -> [Made; 3] {
    [("a", "one"), ("b", "two"), ("c", "two")]
        .map(|(artifact, image)| kept_of(cache, artifact.as_bytes(), image.as_bytes()))
}

#[test]
fn images_go_with_the_last_artifact_that_has_them() {
    let (_directory, mut cache) = cache();
    cache.is_own = true;
    let [a, b, c] = several(&cache);
    cache.collect(|artifact| *artifact != b.artifact).unwrap();
    assert!(cache.find(&b.artifact).is_none());
    assert!(cache.find(&a.artifact).is_some() && cache.find(&c.artifact).is_some());
    cache.collect(|artifact| *artifact == a.artifact).unwrap();
    assert!(cache.find(&a.artifact).is_some());
    assert_eq!(names(&cache).len(), 2, "an index and its image");
}

#[test]
fn what_other_engines_made_is_deleted_and_what_is_none_of_ours_is_not() {
    let (_directory, mut cache) = cache();
    cache.is_own = true;
    let [a, ..] = several(&cache);
    let other = format!("{}-{}.json", a.artifact.hex(), "0".repeat(FINGERPRINT_HEX));
    fs::rename(
        cache.index_path(&a.artifact, engine::Kind::Sync),
        cache.path.join(other),
    )
    .unwrap();
    for name in ["notes.json", "a-b.json", "a.cwasm", ".tmp-1"] {
        fs::write(cache.path.join(name), "").unwrap();
    }
    let before = names(&cache).len();
    cache.collect(|_| true).unwrap();
    assert!(!cache.image_path(&a.image).exists());
    assert_eq!(names(&cache).len(), before - 2, "its index and its image");
}

#[test]
fn a_cache_that_others_share_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let state = State::open(&directory.path().join("state")).unwrap();
    for (path, is_own) in [
        ("cache", false),
        ("state-2/cache", false),
        ("state/cache", true),
    ] {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        several(&CacheDir::open(&path).unwrap());
        let cache = CacheDir::open(&path).unwrap().in_state(&state).unwrap();
        assert_eq!(names(&cache).is_empty(), is_own, "{}", path.display());
    }
    // One that is elsewhere in truth is others' as well.
    let link = directory.path().join("state/link");
    symlink(directory.path().join("cache"), &link).unwrap();
    let cache = CacheDir::open(&link).unwrap().in_state(&state).unwrap();
    assert!(!names(&cache).is_empty());
}
