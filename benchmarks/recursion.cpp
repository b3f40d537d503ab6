// SPDX-License-Identifier: MIT
// What does a task cost in recursion with several branches each: skynet (ten each, a million leaves that do
// nothing), all solutions of twelve queens, and a tree of which nobody knows how large its branches are?
//
// cadre_futures submits calls and gets the newest first, cadre_spawn spawns coroutines, cadre_all awaits
// them by all(). tbb_task_group is the idiom of oneTBB. boost_asio and the others that a waiting worker is
// lost to are not here: see fib.
#include <cadre/all.hpp>

#include <array>
#include <cstdint>

#include "peers.hpp"

namespace {

/// A node of a recursion: its value, and its branches.
struct skynet {
  std::int64_t first;
  std::int64_t count;

  static skynet root() { return {0, 1'000'000}; }
  std::int64_t own_value() const { return count == 1 ? first : 0; }
  template <typename Visit>
  void for_each_branch(const Visit& visit) const {
    if (count == 1) return;
    for (std::int64_t i = 0; i < 10; ++i) visit(skynet{first + i * (count / 10), count / 10});
  }
};

struct queens {
  static constexpr unsigned size = 12;
  unsigned row = 0, columns = 0, left = 0, right = 0;

  static queens root() { return {}; }
  std::int64_t own_value() const { return row == size ? 1 : 0; }
  template <typename Visit>
  void for_each_branch(const Visit& visit) const {
    if (row == size) return;
    const unsigned taken = columns | left | right;
    for (unsigned column = 1; column < 1U << size; column <<= 1) {
      if ((taken & column) != 0) continue;
      visit(queens{row + 1, columns | column, (left | column) << 1, (right | column) >> 1});
    }
  }
};

/// Four branches, or none, as a number says that each node makes of its parent's.
struct tree {
  std::uint64_t number;
  unsigned depth;

  static tree root() { return {2024, 0}; }
  std::int64_t own_value() const { return 1; }
  template <typename Visit>
  void for_each_branch(const Visit& visit) const {
    if (depth > 6 && number % 1000 >= 249) return;
    for (std::uint64_t i = 1; i <= 4; ++i) {
      std::uint64_t next = number + i * 0x9E3779B97F4A7C15U;
      next = (next ^ (next >> 30)) * 0xBF58476D1CE4E5B9U;
      next = (next ^ (next >> 27)) * 0x94D049BB133111EBU;
      visit(tree{next ^ (next >> 31), depth + 1});
    }
  }
};

struct total {
  std::int64_t value = 0;
  std::int64_t nodes = 0;
};

template <typename Node>
total serial(const Node& node) {
  total all{node.own_value(), 1};
  node.for_each_branch([&](const Node& branch) {
    const total below = serial(branch);
    all.value += below.value;
    all.nodes += below.nodes;
  });
  return all;
}

template <typename Node>
std::int64_t by_futures(cadre::thread_pool_executor& pool, const Node& node) {
  std::array<cadre::future<std::int64_t>, 12> branches;
  std::size_t count = 0;
  node.for_each_branch([&](const Node& branch) {
    branches[count++] = pool.submit([&pool, branch] { return by_futures(pool, branch); });
  });
  std::int64_t sum = node.own_value();
  while (count != 0) sum += branches[--count].get();
  return sum;
}

template <typename Node>
cadre::task<std::int64_t> by_spawn(cadre::thread_pool_executor& pool, Node node) {
  std::array<cadre::future<std::int64_t>, 12> branches;
  std::size_t count = 0;
  node.for_each_branch(
      [&](const Node& branch) { branches[count++] = cadre::spawn(pool, by_spawn(pool, branch)); });
  std::int64_t sum = node.own_value();
  while (count != 0) sum += co_await branches[--count];
  co_return sum;
}

template <typename Node>
cadre::task<std::int64_t> by_all(Node node) {
  std::vector<cadre::task<std::int64_t>> branches;
  branches.reserve(12);
  node.for_each_branch([&](const Node& branch) { branches.push_back(by_all(branch)); });
  std::int64_t sum = node.own_value();
  if (branches.empty()) co_return sum;
  for (const std::int64_t below : co_await cadre::all(std::move(branches))) sum += below;
  co_return sum;
}

template <typename Node>
std::int64_t by_tbb(const Node& node) {
  std::array<std::int64_t, 12> sums{};
  std::size_t count = 0;
  tbb::task_group group;
  node.for_each_branch([&](const Node& branch) {
    group.run([&sum = sums[count++], branch] { sum = by_tbb(branch); });
  });
  group.wait();
  std::int64_t sum = node.own_value();
  while (count != 0) sum += sums[--count];
  return sum;
}

template <typename Node, typename Run>
void measure_one(const bench::report& report, const char* variant, const Run& run) {
  const total expected = serial(Node::root());
  const double ns = bench::median_ns([&] {
    if (run(Node::root()) == expected.value) return;
    std::fprintf(stderr, "%s is wrong\n", variant);
    std::exit(EXIT_FAILURE);
  });
  report("ns_per_node", ns / static_cast<double>(expected.nodes), variant);
}

template <typename Run>
void measure(const bench::report& report, const Run& run) {
  measure_one<skynet>(report, "skynet", run);
  measure_one<queens>(report, "queens", run);
  measure_one<tree>(report, "tree", run);
}

void measure_serial(const bench::report& report) {
  measure(report, [](const auto& root) { return serial(root).value; });
}

void measure_futures(const bench::report& report) {
  cadre::thread_pool_executor pool{{.max_workers = bench::workers}};
  measure(report, [&](const auto& root) {
    return pool.submit([&] { return by_futures(pool, root); }).get();
  });
}

void measure_spawn(const bench::report& report) {
  cadre::thread_pool_executor pool{{.max_workers = bench::workers}};
  measure(report, [&](const auto& root) { return cadre::spawn(pool, by_spawn(pool, root)).get(); });
}

void measure_all(const bench::report& report) {
  cadre::thread_pool_executor pool{{.max_workers = bench::workers}};
  measure(report, [&](const auto& root) { return cadre::spawn(pool, by_all(root)).get(); });
}

/// The caller is one of the two threads.
void measure_tbb(const bench::report& report) {
  tbb::task_arena arena{bench::workers};
  measure(report, [&](const auto& root) { return arena.execute([&] { return by_tbb(root); }); });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("recursion", argc, argv,
                    {{"serial", measure_serial},
                     {"cadre_futures", measure_futures},
                     {"cadre_spawn", measure_spawn},
                     {"cadre_all", measure_all},
                     {"tbb_task_group", measure_tbb}});
}
