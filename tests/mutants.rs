//! Damaged models give an error or a model: never a panic, a defect, a hang, or a memory that the
//! file does not account for.
//!
//! `SLPC_MUTANT=MODEL:KIND:NUMBER` tries the one that a failure names.

mod common;
#[path = "mutants/counting.rs"]
mod counting;
#[path = "mutants/damage.rs"]
mod damage;
#[path = "mutants/growth.rs"]
mod growth;
#[path = "mutants/models.rs"]
mod models;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "generate/random.rs"]
mod random;
#[path = "mutants/structure.rs"]
mod structure;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{data, long, options, shipped};
use counting::counted;
use onnx_protobuf::{Message, ModelProto};
use random::Random;
use slpc::compile::{Options, select, transform};
use slpc::error::{Kind, Result};
use slpc::onnx::{load_bytes, text, to_bytes};

/// The longest that a processor may work on one mutant.
const LIMIT: Duration = Duration::from_secs(10);
/// What a small file may take beside four times its size while it is read and written.
const FLOOR: usize = 1 << 20;
/// As [`FLOOR`], while it is transformed: the vertices of the augmented graph lie in one piece, which
/// doubles as they become more.
const GROWN: usize = 1 << 23;
/// As [`GROWN`], where functions call functions: they may unfold, up to a limit.
const UNFOLDED: usize = 1 << 25;

/// One damaged file.
struct Mutant {
    name: String,
    bytes: Vec<u8>,
    random: Random,
}

/// What became of the mutants, by outcome.
#[derive(Default)]
struct Tally {
    outcomes: BTreeMap<String, usize>,
    wrong: Vec<String>,
    slowest: (Duration, String),
    /// The largest single request beyond four times the file.
    largest: (usize, String),
}

impl Tally {
    fn add(&mut self, name: String, outcome: &str, time: Duration, beyond: usize) {
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        if beyond > self.largest.0 {
            self.largest = (beyond, name.clone());
        }
        if time > self.slowest.0 {
            self.slowest = (time, name);
        }
    }

    fn total(&self) -> usize {
        self.outcomes.values().sum()
    }

    fn report(&self, what: &str) {
        let mut text = format!("{what}: {} mutants; ", self.total());
        for (outcome, count) in &self.outcomes {
            let _ = write!(text, "{count} {outcome}, ");
        }
        let (time, name) = &self.slowest;
        println!("{text}slowest {:.2} s ({name})", time.as_secs_f64());
        let (beyond, name) = &self.largest;
        println!("{what}: at most {beyond} bytes in one piece beyond 4 times the file ({name})");
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        assert!(self.total() > 0);
    }
}

/// The models by name: ten small ones, the shipped one, and ten real ones where they are.
fn originals() -> Vec<(String, Vec<u8>)> {
    let text = |&(name, text): &(&str, &str)| {
        let model = text::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name.to_owned(), to_bytes(&model).unwrap())
    };
    let mut list: Vec<_> = models::TEXTS.iter().map(text).collect();
    let real = [
        "mnist_cntk_ort",
        "mlperf_resnet8_cifar10",
        "vit_mnist",
        "super_resolution",
        "resnet20_cifar10",
        "2conv_mnist_true",
        "mobilenetv1_025_224_imagenet",
        "mobilenetv2_100_224_imagenet_w8",
        "squeezenet_imagenet_fp16",
        "squeezenet11_imagenet",
    ];
    match data() {
        None => list.push(("shipped".to_owned(), std::fs::read(shipped()).unwrap())),
        Some(folder) => list.extend(real.iter().map(|&name| {
            let path = folder.join(format!("models/{name}.onnx"));
            (name.to_owned(), std::fs::read(path).unwrap())
        })),
    }
    list
}

/// What is done with a model that loads, in the ways that a user has.
fn request(random: &mut Random) -> Options {
    let neurons = random.pick(&["0", "top:1", "runtime", "0,1"]);
    let emit = random.pick(&[
        "activity,weights,bias,centre,icd",
        "activity,weights,bias-terms",
        "weights,state,radius",
        "patterns,singular-values,mixing,power",
    ]);
    let layers: &[&str] = random.pick(&[&[][..], &["#1"], &["logits"]]);
    let batch = random.pick(&[select::Batch::Auto, select::Batch::None]);
    Options { batch, ..options(layers, neurons, emit) }
}

/// Loads, lists the layers, transforms, writes and loads again; tells how far it came. `largest` is
/// raised to the largest request of memory beyond four times the file.
fn survive(
    mutant: &mut Mutant,
    folder: Option<&Path>,
    largest: &mut usize,
) -> Result<&'static str, String> {
    let size = mutant.bytes.len();
    let bytes = bytes::Bytes::from(std::mem::take(&mut mutant.bytes));
    let mut check = |what: &str, memory: usize, floor: usize| {
        let beyond = memory.saturating_sub(4 * size);
        *largest = beyond.max(*largest);
        match beyond > floor {
            true => Err(format!("{what} takes {memory} bytes for a file of {size}")),
            false => Ok(()),
        }
    };
    let (loaded, memory) = counted(|| load_bytes(bytes, folder));
    check("reading", memory.peak, FLOOR)?;
    let model = match honest(loaded)? {
        Ok(model) => model,
        Err(_) => return Ok("refused by the reader"),
    };
    let (written, memory) = counted(|| to_bytes(&model));
    check("writing", memory.largest, FLOOR)?;
    if let Ok(written) = honest(written)? {
        let again = load_bytes(written.clone().into(), None).and_then(|again| to_bytes(&again));
        let again = again.map_err(|error| format!("what was written is refused: {error}"))?;
        if again != written {
            return Err("what was written is written otherwise when it is read".to_owned());
        }
    }
    let options = request(&mut mutant.random);
    let (result, memory) = counted(|| {
        let listed = slpc::compile::prepare(model.clone()).and_then(|model| {
            let order = model.graph.topological()?;
            let input = select::input(&model.graph, None)?;
            Ok(select::layers(&model.graph, &select::path(&model.graph, &order, input)).len())
        });
        listed.and_then(|_| transform(model, &options)).map(|(augmented, _)| augmented)
    });
    let unfolds = mutant.name.contains(":functions upon functions:");
    check("transforming", memory.largest, if unfolds { UNFOLDED } else { GROWN })?;
    let Ok(augmented) = honest(result)? else { return Ok("refused by the compiler") };
    let Ok(bytes) = honest(to_bytes(&augmented))? else { return Ok("refused by the writer") };
    match load_bytes(bytes.into(), None) {
        Ok(_) => Ok("transformed"),
        Err(error) => Err(format!("the augmented model does not load: {error}")),
    }
}

/// An error, unless it is the program's own fault.
fn honest<T>(result: Result<T>) -> Result<Result<T>, String> {
    match result {
        Err(error) if error.kind == Kind::Internal => Err(format!("a defect: {error}")),
        other => Ok(other),
    }
}

/// The time that the processor has spent on one thread, so that a busy machine is no failure.
#[derive(Clone)]
struct Clock(PathBuf);

impl Clock {
    fn of_this_thread() -> Self {
        let own = std::fs::read_link("/proc/thread-self").unwrap();
        Self(Path::new("/proc").join(own).join("schedstat"))
    }

    fn now(&self) -> Duration {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let spent = text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok());
        Duration::from_nanos(spent.unwrap_or_default())
    }
}

/// Tries the mutants in as many threads as there are processors, and ends the process where one of them hangs.
fn try_all(
    what: &str,
    count: usize,
    folder: Option<&Path>,
    make: impl Fn(usize) -> Option<Mutant> + Sync,
) {
    let tally = Mutex::new(Tally::default());
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let running: Vec<Mutex<Option<(Clock, Duration, String)>>> =
        (0..threads).map(|_| Mutex::new(None)).collect();
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join(what.replace(' ', "-"));
    let work = |worker: usize| {
        let path = trace.with_extension(worker.to_string());
        let mut names = std::fs::File::create(path).unwrap();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            let Some(mut mutant) = make(number) else { continue };
            let name = mutant.name.clone();
            if std::env::var_os("SLPC_MUTANT").is_some() {
                let path = trace.with_extension("onnx");
                std::fs::write(&path, &mutant.bytes).unwrap();
                println!("{name} is {}", path.display());
            }
            // Where the process dies, the last line of this file tells of what.
            writeln!(names, "{name}").unwrap();
            let clock = Clock::of_this_thread();
            let start = clock.now();
            *running[worker].lock().unwrap() = Some((clock.clone(), start, name.clone()));
            let mut beyond = 0;
            let work = AssertUnwindSafe(|| survive(&mut mutant, folder, &mut beyond));
            let result = catch_unwind(work);
            *running[worker].lock().unwrap() = None;
            let took = clock.now() - start;
            let mut tally = tally.lock().unwrap();
            match result {
                Ok(Ok(outcome)) => tally.add(name, outcome, took, beyond),
                Ok(Err(wrong)) => {
                    tally.wrong.push(format!("{name}: {wrong}"));
                    tally.add(name, "wrong", took, beyond);
                }
                Err(_) => {
                    tally.wrong.push(format!("{name}: a panic"));
                    tally.add(name, "panicked", took, beyond);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|w| scope.spawn(move || work(w))).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            for slot in &running {
                if let Some((clock, start, name)) = &*slot.lock().unwrap()
                    && clock.now() - *start > LIMIT
                {
                    eprintln!("{name} has taken {LIMIT:?} and is still running");
                    std::process::abort();
                }
            }
        }
    });
    tally.into_inner().unwrap().report(what);
}

/// The number of a mutant's random numbers, other for every name.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The one mutant that is asked for, if any.
fn wanted(name: &str) -> bool {
    std::env::var("SLPC_MUTANT").map_or(true, |wanted| wanted == name)
}

#[test]
fn damaged_bytes_are_survived() {
    let originals = originals();
    let each = if long() { 250 } else { 5 };
    try_all("damaged bytes", originals.len() * each, None, |number| {
        let (model, bytes) = &originals[number % originals.len()];
        let name = format!("{model}:bytes:{}", number / originals.len());
        let mut random = Random::new(seed(&name));
        wanted(&name).then(|| Mutant { bytes: damage::damage(&mut random, bytes), name, random })
    });
}

#[test]
fn truncated_files_are_survived() {
    let originals = originals();
    let cuts = |(model, bytes): &(String, Vec<u8>)| {
        let step = if bytes.len() < 10_000 { 8 } else { 1024 };
        let step = if long() { step } else { step.max(bytes.len() / 8) };
        (0..bytes.len()).step_by(step).map(|cut| (model.clone(), cut)).collect::<Vec<_>>()
    };
    let cuts: Vec<_> = originals.iter().flat_map(cuts).collect();
    try_all("truncated files", cuts.len(), None, |number| {
        let (model, cut) = &cuts[number];
        let name = format!("{model}:cut:{cut}");
        let bytes = &originals.iter().find(|(name, _)| name == model)?.1;
        let random = Random::new(seed(&name));
        wanted(&name).then(|| Mutant { bytes: bytes[..*cut].to_vec(), name, random })
    });
}

#[test]
fn damaged_structures_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("model");
    std::fs::create_dir_all(home.join("sub")).unwrap();
    std::fs::write(folder.path().join("secret"), [1; 64]).unwrap();
    std::fs::write(home.join("weights"), [1; 5000]).unwrap();
    std::os::unix::fs::symlink("../secret", home.join("link")).unwrap();
    std::os::unix::fs::symlink("..", home.join("up")).unwrap();
    let originals: Vec<_> = originals()
        .into_iter()
        .map(|(name, bytes)| (name, ModelProto::parse_from_bytes(&bytes).unwrap()))
        .collect();
    let each = if long() { 25 } else { 1 };
    let kinds = structure::KINDS.len();
    try_all("damaged structures", originals.len() * kinds * each, Some(&home), |number| {
        let (model, original) = &originals[number % originals.len()];
        let (kind, damage) = structure::KINDS[number / originals.len() % kinds];
        let name = format!("{model}:{kind}:{}", number / originals.len() / kinds);
        if !wanted(&name) {
            return None;
        }
        let mut random = Random::new(seed(&name));
        let mut mutant = original.clone();
        for _ in 0..random.between(1, 2) {
            damage(&mut random, &mut mutant);
        }
        Some(Mutant { name, bytes: mutant.write_to_bytes().unwrap(), random })
    });
}
