//! Generations on a real disk: whole, half made, damaged.

use super::*;
use std::os::unix::fs::PermissionsExt;

const NOON: Clocks = Clocks { unix_ms: 1_800_000_000_000, boot_ms: 60_000 };

struct Bench {
    dir: PathBuf,
    all: Generations,
}

impl Bench {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("clavija-gen-{name}-{}", std::process::id()));
        let all = Generations::open(&dir).unwrap();
        Self { dir, all }
    }

    fn prepare(&self, text: &str) -> Meta {
        let source = |text: &str| Source {
            name: "x.toml".into(),
            folder: "/etc/clavija".into(),
            text: text.into(),
        };
        let sources = Sources { node: source("node"), site: Some(source(text)) };
        let plan = Plan {
            trunks: vec![],
            seats: vec![],
            teams: vec![],
            numbers: vec![],
            ..Plan::default()
        };
        let new = New {
            by: By::Apply,
            sources: &sources,
            plan: PlanText::of(&plan).unwrap(),
            seen: hash(&sources),
            before: None,
            of: None,
            confirm: None,
        };
        self.all.prepare(&new, NOON).unwrap()
    }

    fn hold(&self, text: &str) -> Meta {
        let meta = self.prepare(text);
        self.all.switch(meta.generation).unwrap();
        meta
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

#[test]
fn a_crash_between_prepare_and_switch_leaves_the_old_generation_whole() {
    let bench = Bench::new("crash");
    let old = bench.hold("one");
    bench.prepare("two");
    fs::create_dir(bench.dir.join("generations/.7.new")).unwrap();
    symlink("9", bench.dir.join("generations/.current.new")).unwrap();

    let again = Generations::open(&bench.dir).unwrap();

    assert_eq!(again.current().unwrap(), Some(old.clone()));
    assert_eq!(again.sources(&old).unwrap().site.unwrap().text, "one");
    assert_eq!(again.history().unwrap().len(), 1, "what was half made is gone");
    let left = fs::read_dir(bench.dir.join("generations")).unwrap().count();
    assert_eq!(left, 3, "the generation, the link and what is known of both");
}

#[test]
fn a_generation_is_for_the_operator_and_their_group() {
    let bench = Bench::new("modes");
    bench.hold("one");
    let mode = |path: &str| {
        let about = fs::metadata(bench.dir.join("generations").join(path)).unwrap();
        about.permissions().mode() & 0o777
    };

    assert_eq!((mode("1"), mode("1/site.toml"), mode("1/meta.json")), (0o750, 0o640, 0o640));
}

#[test]
fn so_many_are_kept_and_never_is_the_one_lost_that_may_be_gone_back_to() {
    let bench = Bench::new("prune");
    for _ in 0..KEPT + 5 {
        bench.hold("x");
    }
    let confirm = Confirm::new(2, Duration::from_secs(60), NOON);
    let current = Meta { confirm: Some(confirm), ..bench.all.current().unwrap().unwrap() };

    bench.all.prune(&current).unwrap();

    let numbers = bench.all.numbers().unwrap();
    assert_eq!((numbers.len(), numbers[0], numbers[1]), (KEPT + 1, 2, 6));
}

#[test]
fn time_to_confirm_runs_out_whatever_is_done_to_the_wall_clock() {
    let confirm = Confirm::new(1, Duration::from_secs(600), NOON);
    let at = |unix: i64, boot: u64| Clocks {
        unix_ms: NOON.unix_ms.saturating_add_signed(unix),
        boot_ms: boot,
    };

    assert!(!confirm.is_due(at(599_000, 659_000)));
    assert!(confirm.is_due(at(600_000, 10)), "after another boot the wall clock counts");
    assert!(confirm.is_due(at(-86_400_000, 660_000)), "a wall clock set back gives nothing");
}

#[test]
fn what_was_confirmed_stays_so() {
    let bench = Bench::new("confirm");
    let held = bench.hold("one");
    let confirm = Some(Confirm::new(1, Duration::from_secs(1), NOON));

    bench.all.confirmed(&Meta { confirm, ..held }).unwrap();

    assert_eq!(bench.all.current().unwrap().unwrap().confirm, None);
}

/// Three that held, the third by a link that leads to it.
fn three(name: &str) -> Bench {
    let bench = Bench::new(name);
    for text in ["one", "two", "three"] {
        bench.hold(text);
    }
    bench
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join("generations").join(name)
    }

    fn aside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join("generations")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut aside: Vec<String> = names.filter(|name| name.contains(".damaged-")).collect();
        aside.sort();
        aside
    }
}

#[test]
fn whatever_is_damaged_is_put_aside_and_the_newest_whole_generation_holds() {
    type Damage = fn(&Bench);
    // What is done, the text that holds then, its number, and what is put aside.
    type Holds = (&'static str, u64);
    let damages: [(&str, Damage, Holds, &[&str]); 13] = [
        (
            "meta cut short",
            |b| fs::write(b.path("3/meta.json"), "{\"generation\": 3,").unwrap(),
            ("three", 3),
            &["3.meta.damaged-1"],
        ),
        (
            "meta empty",
            |b| fs::write(b.path("3/meta.json"), "").unwrap(),
            ("three", 3),
            &["3.meta.damaged-1"],
        ),
        ("meta gone", |b| fs::remove_file(b.path("3/meta.json")).unwrap(), ("three", 3), &[]),
        (
            "meta and its second copy",
            |b| {
                fs::write(b.path("3/meta.json"), "").unwrap();
                fs::write(b.path("holds.json"), "").unwrap();
            },
            ("two", 4),
            &["3.damaged-1"],
        ),
        (
            "a file cut short",
            |b| fs::write(b.path("3/site.toml"), "thr").unwrap(),
            ("two", 4),
            &["3.damaged-1"],
        ),
        (
            "a file gone",
            |b| fs::remove_file(b.path("3/node.toml")).unwrap(),
            ("two", 4),
            &["3.damaged-1"],
        ),
        ("the folder gone", |b| fs::remove_dir_all(b.path("3")).unwrap(), ("two", 4), &[]),
        (
            "a file in its place",
            |b| {
                fs::remove_dir_all(b.path("3")).unwrap();
                fs::write(b.path("3"), "").unwrap();
            },
            ("two", 4),
            &["3.damaged-1"],
        ),
        (
            "an older one",
            |b| fs::write(b.path("1/meta.json"), "").unwrap(),
            ("three", 3),
            &["1.damaged-1"],
        ),
        (
            "the link is a folder",
            |b| {
                fs::remove_file(b.path("current")).unwrap();
                fs::create_dir(b.path("current")).unwrap();
            },
            ("three", 3),
            &["current.damaged-1"],
        ),
        (
            "the link is a file",
            |b| {
                fs::remove_file(b.path("current")).unwrap();
                fs::write(b.path("current"), "3").unwrap();
            },
            ("three", 3),
            &["current.damaged-1"],
        ),
        (
            "the link says nothing",
            |b| {
                fs::remove_file(b.path("current")).unwrap();
                symlink("../elsewhere", b.path("current")).unwrap();
            },
            ("three", 3),
            &["current.damaged-1"],
        ),
        ("the link is gone", |b| fs::remove_file(b.path("current")).unwrap(), ("three", 3), &[]),
    ];
    for (at, (what, damage, (text, number), aside)) in damages.into_iter().enumerate() {
        let bench = three(&format!("damage-{at}"));
        damage(&bench);

        let again = Generations::open(&bench.dir).unwrap();

        let current = again.current().unwrap().unwrap();
        assert_eq!(current.generation, number, "{what}");
        assert_eq!(again.sources(&current).unwrap().site.unwrap().text, text, "{what}");
        assert_eq!(current.by == By::Fallback, text == "two", "{what}: it is said for ever");
        assert_eq!(bench.aside(), aside, "{what}");
        assert_eq!(again.damaged(), 1, "{what}: one fault is one");
        assert_eq!(bench.hold("four").generation, number + 1, "{what}: none is given twice");
        let settled = Generations::open(&bench.dir).unwrap();
        assert_eq!((settled.damaged(), bench.aside().len()), (0, aside.len()), "{what}: once");
    }
}

#[test]
fn a_rollback_that_is_damaged_does_not_bring_back_what_was_gone_back_from() {
    type Damage = fn(&Bench);
    let damages: [(&str, Damage); 3] = [
        ("meta", |b| fs::write(b.path("3/meta.json"), "{").unwrap()),
        ("a text", |b| fs::write(b.path("3/site.toml"), "o").unwrap()),
        ("all of it", |b| fs::remove_dir_all(b.path("3")).unwrap()),
    ];
    for (at, (what, damage)) in damages.into_iter().enumerate() {
        let bench = Bench::new(&format!("rolled-{at}"));
        bench.hold("one");
        bench.hold("two");
        let rolled = bench.hold("one");
        damage(&bench);

        let again = Generations::open(&bench.dir).unwrap();

        let current = again.current().unwrap().unwrap();
        assert_eq!(again.sources(&current).unwrap().site.unwrap().text, "one", "{what}");
        assert_eq!((current.by, &current.seen), (rolled.by, &rolled.seen), "{what}: as it was");
        assert_eq!(again.damaged(), 1, "{what}");
    }
}

#[test]
fn a_stray_folder_with_an_absurd_number_costs_no_generation_and_no_start() {
    for number in [u64::MAX, u64::MAX / 2, NUMBER_MAX, NUMBER_MAX - 1] {
        let bench = three(&format!("stray-{number}"));
        fs::create_dir(bench.path(&number.to_string())).unwrap();

        let again = Generations::open(&bench.dir).unwrap();

        assert_eq!(again.current().unwrap().unwrap().generation, 3, "{number}");
        assert_eq!(bench.hold("four").generation, 4, "{number}");
        let again = Generations::open(&bench.dir).unwrap();
        assert_eq!(again.history().unwrap().len(), 4, "{number}");
    }
}

#[test]
fn a_link_that_leads_to_no_generation_costs_none() {
    let bench = three("nowhere");
    fs::remove_file(bench.path("current")).unwrap();
    symlink("0", bench.path("current")).unwrap();

    let again = Generations::open(&bench.dir).unwrap();

    assert_eq!(again.history().unwrap().len(), 3);
    assert_eq!(again.current().unwrap().unwrap().generation, 3);
}

#[test]
fn where_nothing_can_be_read_everything_is_kept_and_the_box_is_new() {
    let bench = three("nothing");
    for number in ["1", "2", "3"] {
        fs::write(bench.path(number).join("meta.json"), "?").unwrap();
    }
    fs::write(bench.path("holds.json"), "?").unwrap();

    let again = Generations::open(&bench.dir).unwrap();

    assert_eq!(again.current().unwrap(), None);
    assert_eq!(bench.aside(), ["1.damaged-1", "2.damaged-1", "3.damaged-1", "current.damaged-1"]);
    assert_eq!(bench.hold("four").generation, 4, "no number is given twice");
}

#[test]
fn one_that_waits_for_its_confirmation_is_the_last_to_be_taken_for_a_lost_link() {
    let bench = three("waits");
    let current = bench.all.current().unwrap().unwrap();
    let confirm = Some(Confirm::new(2, Duration::from_secs(60), NOON));
    let waits = Meta { confirm, ..current };
    fs::write(bench.path("3/meta.json"), serde_json::to_vec(&waits).unwrap()).unwrap();
    fs::remove_file(bench.path("current")).unwrap();
    fs::remove_file(bench.path("holds.json")).unwrap();

    let again = Generations::open(&bench.dir).unwrap();

    assert_eq!(again.current().unwrap().unwrap().generation, 2);
}

#[test]
fn from_one_back_come_those_it_followed_then_the_others_but_none_that_nobody_confirmed() {
    let bench = Bench::new("back");
    let follows = [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(3)), (5, Some(2))];
    for (number, before) in follows {
        let meta = Meta { before, ..bench.hold("x") };
        let confirm = (number == 4).then(|| Confirm::new(3, Duration::from_secs(1), NOON));
        let meta = Meta { confirm, ..meta };
        let file = bench.path(&number.to_string()).join("meta.json");
        fs::write(file, serde_json::to_vec(&meta).unwrap()).unwrap();
    }
    let back = |from| -> Vec<u64> {
        bench.all.back_from(from).unwrap().iter().map(|meta| meta.generation).collect()
    };

    assert_eq!(back(5), [5, 2, 1, 3]);
    assert_eq!(back(4), [4, 3, 2, 1]);
    assert_eq!(back(3), [3, 2, 1]);
    fs::remove_dir_all(bench.path("2")).unwrap();
    assert_eq!(back(5), [5, 3, 1]);
    assert_eq!(back(2), [1]);
}

#[test]
fn only_so_many_that_were_put_aside_are_kept() {
    let bench = three("aside");
    for count in 1..=30 {
        fs::create_dir(bench.path(&format!("1.damaged-{count}"))).unwrap();
    }

    bench.all.prune(&bench.all.current().unwrap().unwrap()).unwrap();

    assert_eq!(bench.aside().len(), 20);
}

#[test]
fn what_the_box_never_came_up_with_is_gone_back_to_last() {
    let bench = three("ready");
    bench.all.comes_up(1);
    let back = || -> Vec<u64> {
        bench.all.back_from(3).unwrap().iter().map(|meta| meta.generation).collect()
    };
    assert_eq!(back(), [3, 1, 2]);
    fs::remove_dir_all(bench.path("3")).unwrap();
    fs::remove_file(bench.path("holds.json")).unwrap();

    let again = Generations::open(&bench.dir).unwrap();

    let current = again.current().unwrap().unwrap();
    assert_eq!(again.sources(&current).unwrap().site.unwrap().text, "one");
}
