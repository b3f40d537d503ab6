// SPDX-License-Identifier: MIT
// How near to ideal is the main job: many calls of 10 to 1000 us, or over files, whose results one thread takes
// as they come (with a window), in order, or after all were submitted?
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/parallel_pipeline.h>
#include <poll.h>
#include <cadre/process_pool_executor.hpp>

#include "../examples/demo/files.hpp"
#include "peers.hpp"
#include "processes.hpp"

namespace {

// --- the work ---

/// Takes the same time wherever it runs: what takes its processor away is not hidden, as a look at the clock
/// would.
std::uint64_t spin(std::uint32_t rounds) {
  std::uint64_t x = rounds;
  for (std::uint32_t i = 0; i < rounds; ++i) x = x * 6364136223846793005u + (x >> 33);
  return x;
}

std::uint32_t rounds_per_us() {
  constexpr std::uint32_t probe = 100'000;
  double best = 1e9;
  for (int i = 0; i < 50; ++i) {
    std::uint64_t result = 0;
    best = std::min(best, bench::elapsed_ns([&] { result = spin(probe); }));
    bench::keep(&result);
  }
  return static_cast<std::uint32_t>(probe * 1e3 / best);
}

/// Those of a usual system: thousands, most of them of some 10 KB. A worker finds them itself.
const std::vector<std::filesystem::path>& files() {
  static const auto found = [] {
    constexpr std::size_t most = 3000;
    auto all = demo::walk({}, "/usr/include").files;
    std::erase_if(all, [](const auto& path) {
      std::error_code error;
      return !std::filesystem::is_regular_file(path, error);
    });
    std::ranges::sort(all);
    if (all.size() > most) all.resize(most);
    return all;
  }();
  return found;
}

/// The first bytes of its hash stand for the whole, so that a pipe can carry it in one piece.
std::uint64_t digest(const demo::file_facts& facts) {
  std::uint64_t number = 0;
  std::memcpy(&number, facts.sha256.data(), sizeof number);
  return number + facts.identifiers;
}

std::uint64_t read_file(std::uint32_t index) { return digest(demo::analyse({}, files()[index])); }

/// What one round is to do: work(input) for each input.
struct job {
  std::uint64_t (*work)(std::uint32_t);
  std::vector<std::uint32_t> inputs;
};

std::uint64_t in_a_loop(const job& all) {
  std::uint64_t sum = 0;
  for (const std::uint32_t input : all.inputs) sum += all.work(input);
  return sum;
}

// --- the ways to do it ---

// Calls that wait or run: enough that no worker has to wait for the submitter.
constexpr std::size_t window = 256;

template <typename Pool>
struct cadre_pool {
  explicit cadre_pool(int workers, const job&) : pool{workers} {}

  std::uint64_t as_completed(const job& all) {
    std::uint64_t sum = 0;
    auto calls = cadre::as_completed(std::vector<cadre::future<std::uint64_t>>{});
    auto next = all.inputs.begin();
    const auto submit_next = [&] {
      if (next != all.inputs.end()) calls.add(pool.submit(all.work, *next++));
    };
    for (std::size_t i = 0; i < window; ++i) submit_next();
    while (auto call = calls.next()) {
      submit_next();
      sum += std::move(*call).get();
    }
    return sum;
  }

  std::uint64_t map(const job& all) {
    std::uint64_t sum = 0;
    for (const std::uint64_t result : pool.map(all.work, std::span{all.inputs})) sum += result;
    return sum;
  }

  std::uint64_t get(const job& all) {
    std::uint64_t sum = 0;
    std::vector<cadre::future<std::uint64_t>> calls;
    for (const std::uint32_t input : all.inputs) calls.push_back(pool.submit(all.work, input));
    for (auto& call : calls) sum += std::move(call).get();
    return sum;
  }

  Pool pool;
};

using cadre_threads = cadre_pool<cadre::thread_pool_executor>;
using cadre_processes = cadre_pool<cadre::process_pool_executor>;

/// The thread that takes the results is one of its threads, but for a pipeline, where any may.
struct tbb_threads {
  explicit tbb_threads(int workers, const job&) : arena{workers} {}

  std::uint64_t as_completed(const job& all) {
    return pipeline(all, tbb::filter_mode::serial_out_of_order);
  }
  std::uint64_t map(const job& all) { return pipeline(all, tbb::filter_mode::serial_in_order); }

  std::uint64_t get(const job& all) {
    std::vector<std::uint64_t> results(all.inputs.size());
    arena.execute([&] {
      tbb::parallel_for(std::size_t{0}, results.size(),
                        [&](std::size_t i) { results[i] = all.work(all.inputs[i]); });
    });
    std::uint64_t sum = 0;
    for (const std::uint64_t result : results) sum += result;
    return sum;
  }

  std::uint64_t pipeline(const job& all, tbb::filter_mode order) {
    std::uint64_t sum = 0;
    auto next = all.inputs.begin();
    const auto submit = [&](tbb::flow_control& flow) -> std::uint32_t {
      if (next != all.inputs.end()) return *next++;
      flow.stop();
      return 0;
    };
    arena.execute([&] {
      tbb::parallel_pipeline(
          window,
          tbb::make_filter<void, std::uint32_t>(tbb::filter_mode::serial_in_order, submit) &
              tbb::make_filter<std::uint32_t, std::uint64_t>(tbb::filter_mode::parallel, all.work) &
              tbb::make_filter<std::uint64_t, void>(order,
                                                    [&](std::uint64_t result) { sum += result; }));
    });
    return sum;
  }

  tbb::task_arena arena;
};

/// Processes forked for this very job, which read numbers and write numbers; one thread keeps as many in flight
/// as the pools have. Order costs it nothing: it adds up what comes.
class pipe_loop {
 public:
  pipe_loop(int workers, const job& all)
      : workers_{workers, &bench::make_pipe,
                 [work = all.work](int in, int out) { serve(work, in, out); }} {}

  std::uint64_t as_completed(const job& all) { return stream(all); }
  std::uint64_t map(const job& all) { return stream(all); }
  std::uint64_t get(const job& all) { return stream(all); }

 private:
  static void serve(std::uint64_t (*work)(std::uint32_t), int in, int out) {
    std::array<std::uint32_t, 64> inputs;
    for (;;) {
      const ssize_t got = read(in, inputs.data(), sizeof inputs);
      if (got <= 0 || got % static_cast<ssize_t>(sizeof inputs[0]) != 0) return;
      for (std::size_t i = 0; i < static_cast<std::size_t>(got) / sizeof inputs[0]; ++i) {
        const std::uint64_t result = work(inputs[i]);
        if (!bench::write_all(out, std::as_bytes(std::span{&result, 1}))) return;
      }
    }
  }

  std::uint64_t stream(const job& all) {
    std::uint64_t sum = 0;
    const auto each = workers_.all();
    auto next = all.inputs.begin();
    const auto send = [&](const bench::one_way& w, std::size_t count) {
      const auto left = static_cast<std::size_t>(all.inputs.end() - next);
      const std::span part{next, std::min(count, left)};
      if (!bench::write_all(w.in, std::as_bytes(part))) std::exit(EXIT_FAILURE);
      next += static_cast<std::ptrdiff_t>(part.size());
    };
    for (const auto& w : each) send(w, std::min(window, all.inputs.size()) / each.size());
    std::vector<pollfd> ready;
    for (const auto& w : each) ready.push_back({w.out, POLLIN, 0});
    for (std::size_t left = all.inputs.size(); left != 0;) {
      if (poll(ready.data(), ready.size(), -1) <= 0) std::exit(EXIT_FAILURE);
      for (std::size_t i = 0; i < ready.size(); ++i) {
        if (ready[i].revents == 0) continue;
        std::array<std::uint64_t, window> results;
        const ssize_t got = read(each[i].out, results.data(), sizeof results);
        if (got <= 0) std::exit(EXIT_FAILURE);
        const auto count = static_cast<std::size_t>(got) / sizeof results[0];
        for (std::size_t k = 0; k < count; ++k) sum += results[k];
        left -= count;
        send(each[i], count);
      }
    }
    return sum;
  }

  bench::forked_workers workers_;
};

// --- the measurement ---

/// Rounds of the loop and of `style` in turn, so that both meet the same machine. The difference of the
/// processors' time is what all but the work takes.
template <typename Way>
void compare(const bench::report& report, const std::string& variant, int workers, const job& all,
             std::uint64_t (Way::*style)(const job&)) {
  Way way{workers, all};
  std::vector<double> serial_ns;
  std::vector<double> way_ns;
  double cpu = 0;
  double switches = 0;
  const std::uint64_t expected = in_a_loop(all);
  const auto round = [&] {
    const double before = bench::cpu_seconds_of_all();
    serial_ns.push_back(bench::elapsed_ns([&] { static_cast<void>(in_a_loop(all)); }));
    const double between = bench::cpu_seconds_of_all();
    const double switched = bench::switches_of_all();
    std::uint64_t sum = 0;
    way_ns.push_back(bench::elapsed_ns([&] { sum = (way.*style)(all); }));
    if (sum != expected) std::exit(EXIT_FAILURE);
    switches += bench::switches_of_all() - switched;
    cpu += bench::cpu_seconds_of_all() - between - (between - before);
  };
  round();
  serial_ns.clear();
  way_ns.clear();
  cpu = switches = 0;
  constexpr int rounds = 3;
  for (int i = 0; i < rounds; ++i) round();
  const auto calls = static_cast<double>(all.inputs.size());
  const double serial = bench::percentile(std::move(serial_ns), 0.5);
  const double took = bench::percentile(std::move(way_ns), 0.5);
  report("efficiency", serial / took / workers, variant);
  report("overhead_cpu_ns", cpu / rounds / calls * 1e9, variant);
  report("switches_per_call", switches / rounds / calls, variant);
}

template <typename Way>
void compare_styles(const bench::report& report, const std::string& what, const job& all) {
  const auto each = [&](const char* name, int workers, std::uint64_t (Way::*style)(const job&)) {
    const std::string variant = what + ' ' + name + (workers == 1 ? " 1 worker" : "");
    bench::in_fresh_process([&] { compare<Way>(report, variant, workers, all, style); });
  };
  each("as_completed", bench::workers, &Way::as_completed);
  each("map", bench::workers, &Way::map);
  each("get", bench::workers, &Way::get);
  each("as_completed", 1, &Way::as_completed);
}

template <typename Way>
void measure(const bench::report& report) {
  constexpr std::uint32_t round_us = 150'000;
  const std::uint32_t per_us = rounds_per_us();
  for (const std::uint32_t us : {10u, 40u, 100u, 1000u}) {
    compare_styles<Way>(report, std::to_string(us) + "us",
                        {&spin, std::vector(round_us / us, us * per_us)});
  }
  job reading{&read_file, {}};
  for (std::uint32_t i = 0; i < files().size(); ++i) reading.inputs.push_back(i);
  compare_styles<Way>(report, "files", reading);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("stream", argc, argv,
                    {{"cadre_threads", measure<cadre_threads>},
                     {"cadre_processes", measure<cadre_processes>},
                     {"tbb", measure<tbb_threads>},
                     {"pipe", measure<pipe_loop>}});
}
