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
    let made = Made {
        artifact: Digest::of(b"artifact"),
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
