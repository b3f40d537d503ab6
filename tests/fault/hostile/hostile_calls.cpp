// SPDX-License-Identifier: MIT
#include "fault/hostile/hostile_calls.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cadre/this_worker.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>

#include "ipc/channel.hpp"
#include "ipc/claim_table.hpp"
#include "process/frame.hpp"
#include "process/remote_worker.hpp"
#include "process/shared_memory.hpp"
#include "process/shared_page.hpp"

namespace cadre::test {
namespace {

using random_numbers = std::minstd_rand;

std::uint64_t any_word(random_numbers& random) {
  switch (random() % 4) {
    case 0:
      return random() % 8;
    case 1:
      return ~std::uint64_t{random() % 8};
    default:
      return std::uint64_t{random()} << 32 | random();
  }
}

// --- who and what there is ---

bool is_marked(int pid) {
  std::ifstream file{"/proc/" + std::to_string(pid) + "/environ"};
  const std::string all{std::istreambuf_iterator<char>{file}, {}};
  const char* const own = std::getenv(hostile_mark);
  return own != nullptr && all.find(std::string{hostile_mark} + '=' + own + '\0') != all.npos;
}

/// Mappings of shared memory that this process may write.
std::vector<std::span<std::byte>> writable_memories() {
  std::vector<std::span<std::byte>> found;
  std::ifstream maps{"/proc/self/maps"};
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    std::array<char, 8> rights{};
    if (line.find("/memfd:") == line.npos ||
        std::sscanf(line.c_str(), "%lx-%lx %7s", &begin, &end, rights.data()) != 3 ||
        rights[1] != 'w') {
      continue;
    }
    found.emplace_back(reinterpret_cast<std::byte*>(begin), end - begin);
  }
  return found;
}

/// This worker's half of its channel, if it still has one.
std::span<std::byte> own_half() {
  const auto all = writable_memories();
  const std::size_t size = ipc::channel_region_size(process::remote_worker::ring_capacity);
  const auto half =
      std::find_if(all.begin(), all.end(), [size](auto m) { return m.size() == size; });
  return half != all.end() ? *half : std::span<std::byte>{};
}

template <typename Function>
void for_each_socket(const Function& function) {
  for (int fd = 3; fd < 64; ++fd) {
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0) function(fd);
  }
}

// --- what a call can do to what it shares ---

void scribble(random_numbers& random) {
  for (const auto memory : writable_memories()) {
    if (random() % 4 == 0) continue;
    auto* const words = reinterpret_cast<volatile std::uint64_t*>(memory.data());
    // The first words of a region are positions, claims, counters.
    const std::size_t most = random() % 2 == 0 ? 64 : memory.size() / sizeof(std::uint64_t);
    for (auto n = 1 + random() % 64; n != 0; --n) words[random() % most] = any_word(random);
  }
}

void fill_all(random_numbers& random) {
  const int byte = static_cast<int>(random() % 256);
  for (const auto memory : writable_memories()) std::memset(memory.data(), byte, memory.size());
}

template <typename Function>
void for_each_claim(const Function& function) {
  for (const auto memory : writable_memories()) {
    if (memory.size() != process::shared_page_size) continue;
    auto* const claims = reinterpret_cast<volatile std::uint64_t*>(memory.data());
    for (std::size_t i = 0; i < ipc::claim_table::slot_count; ++i) function(claims[i]);
  }
}

constexpr std::uint64_t state_of_claim = 3;  // these bits; the others are the number of the call

/// Claims of calls that it has not come to.
void claim_others(random_numbers& random) {
  for_each_claim([&](volatile std::uint64_t& claim) {
    if (random() % 4 != 0) claim = (claim & ~state_of_claim) | random() % 4;
  });
}

/// An answer that nobody asked for, or with numbers that cannot be, as if it had been sent.
void forge_answer(random_numbers& random) {
  const auto half = own_half();
  if (half.empty()) return;
  auto& words = *reinterpret_cast<ipc::side*>(half.data());
  const auto ring = half.last(process::remote_worker::ring_capacity);
  process::answer_header answer;
  answer.kind = static_cast<process::frame_kind>(random() % 10);
  answer.number = random() % 2 == 0 ? random() % 4 : any_word(random);
  answer.size = random() % 2 == 0 ? random() % 64 : any_word(random);
  answer.parts = random() % 2 == 0 ? 0 : any_word(random);
  answer.packets = random() % 3 == 0 ? static_cast<std::uint32_t>(any_word(random)) : 0;
  answer.run_ns = any_word(random);
  answer.resident = any_word(random);
  const std::uint64_t tail = words.tail.load();
  for (std::size_t i = 0; i < sizeof answer; ++i) {
    ring[static_cast<std::size_t>(tail + i) % ring.size()] =
        reinterpret_cast<const std::byte*>(&answer)[i];
  }
  words.tail.store(tail + sizeof answer + random() % 128);
}

/// Sends what it had sent before once more.
void replay(random_numbers& random) {
  const auto half = own_half();
  if (half.empty()) return;
  auto& words = *reinterpret_cast<ipc::side*>(half.data());
  const std::uint64_t tail = words.tail.load();
  const auto ring = half.last(process::remote_worker::ring_capacity);
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(tail, 1 + random() % 512));
  for (std::size_t i = 0; i < size; ++i) {
    ring[static_cast<std::size_t>(tail + i) % ring.size()] =
        ring[static_cast<std::size_t>(tail - size + i) % ring.size()];
  }
  words.tail.store(tail + size);
}

int some_descriptor(random_numbers& random) {
  switch (random() % 4) {
    case 0:
      return ::memfd_create("cadre", MFD_CLOEXEC);  // empty, and not sealed
    case 1: {
      const int fd = ::memfd_create("cadre", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      static_cast<void>(::ftruncate(fd, static_cast<off_t>(random() % 100'000)));
      ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
      return fd;
    }
    case 2:
      return ::open("/dev/zero", O_RDWR | O_CLOEXEC);
    default:
      return ::open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
}

/// Packets with descriptors, or without, that say what they are not.
void forge_packets(random_numbers& random) {
  for_each_socket([&](int fd) {
    ipc::packet_socket socket{ipc::descriptor{::dup(fd)}};
    for (auto n = random() % 8; n != 0; --n) {
      std::array<std::uint64_t, 8> words{};
      for (auto& word : words) word = any_word(random);
      std::vector<int> sent;
      for (auto count = random() % 3; count != 0; --count) sent.push_back(some_descriptor(random));
      std::erase(sent, -1);
      try {
        const auto bytes = std::as_bytes(std::span{words});
        socket.send(bytes.first(random() % 2 == 0 ? sizeof(process::packet_head)
                                                  : 1 + random() % bytes.size()),
                    sent, ipc::packet_socket::mode::dont_wait);
      } catch (const std::exception&) {  // the other end does not take it
      }
      for (const int each : sent) ::close(each);
    }
  });
}

void overfill_events(random_numbers&) {
  const std::uint64_t most = UINT64_MAX - 1;
  for (int fd = 3; fd < 64; ++fd) {
    std::error_code none;
    const auto what = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), none);
    if (what.string().find("eventfd") == std::string::npos) continue;
    static_cast<void>(::write(fd, &most, sizeof most));
  }
}

void change_memory(random_numbers& random) {
  for (const auto memory : writable_memories()) {
    if (random() % 2 == 0) ::mprotect(memory.data(), memory.size(), PROT_READ);
    if (random() % 4 == 0) ::munmap(memory.data(), memory.size());
  }
  for (int fd = 3; fd < 32; ++fd) static_cast<void>(::ftruncate(fd, 0));
}

void shut_sockets(random_numbers&) {
  for_each_socket([](int fd) { ::shutdown(fd, SHUT_RDWR); });
}

// --- what it can do to its own process ---

void close_descriptors(random_numbers& random) {
  const bool all = random() % 2 == 0;
  for (int fd = 3; fd < 64; ++fd) {
    if (all || random() % 4 == 0) ::close(fd);
  }
}

void exhaust_descriptors(random_numbers&) {
  while (::dup(0) >= 0) continue;
}

void change_signals(random_numbers& random) {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  for (const int signal : {SIGTERM, SIGSEGV, SIGCHLD, SIGPIPE, SIGABRT}) {
    if (random() % 2 == 0) ::signal(signal, SIG_IGN);
  }
}

struct endless {
  ~endless() {
    for (;;) ::pause();
  }
};

void leave_a_context(random_numbers&) { this_worker::emplace_context<endless>(); }

/// A thread that goes on when the call has returned.
void leave_a_thread(random_numbers& random) {
  std::thread{[own = random_numbers{static_cast<unsigned>(random())}]() mutable {
    std::this_thread::sleep_for(std::chrono::microseconds{own() % 5000});
    if (own() % 2 == 0) {
      ::raise(SIGSTOP);
    } else {
      scribble(own);
    }
  }}.detach();
}

// --- what it can do to others ---

void fork_both_go_on(random_numbers&) { static_cast<void>(::fork()); }

void leave_a_child(random_numbers& random) {
  if (::fork() != 0) return;
  if (random() % 2 == 0) {
    ::setsid();
    if (::fork() != 0) ::_exit(0);
  }
  ::close(STDOUT_FILENO);
  ::close(STDERR_FILENO);
  for (;;) ::pause();
}

void signal_marked(int pid, int tester, int signal) {
  if (pid > 1 && pid != tester && is_marked(pid)) ::kill(pid, signal);
}

void kill_zygote(random_numbers&, int tester) { signal_marked(::getppid(), tester, SIGKILL); }
void stop_zygote(random_numbers&, int tester) { signal_marked(::getppid(), tester, SIGSTOP); }
void disturb_zygote(random_numbers& random, int tester) {
  const int signals[] = {SIGTERM, SIGCHLD, SIGUSR1, SIGPIPE, SIGHUP};
  signal_marked(::getppid(), tester, signals[random() % std::size(signals)]);
}

void kill_a_sibling(random_numbers& random, int tester) {
  std::ifstream file{"/proc/" + std::to_string(::getppid()) + "/task/" +
                     std::to_string(::getppid()) + "/children"};
  std::vector<int> pids;
  for (int pid = 0; file >> pid;) {
    if (pid != ::getpid()) pids.push_back(pid);
  }
  if (!pids.empty()) signal_marked(pids[random() % pids.size()], tester, SIGKILL);
}

// --- the end of the call ---

void end_the_call(random_numbers& random) {
  switch (random() % 10) {
    case 0:
      ::_exit(static_cast<int>(random() % 3));
    case 1:
      ::raise(SIGKILL);
      break;
    case 2:
      ::signal(SIGSEGV, SIG_DFL);  // sanitizers would make an exit of it
      ::raise(SIGSEGV);
      break;
    case 3:
      ::raise(SIGSTOP);
      break;
    case 4:
      for (;;) ::pause();
    case 5:
      std::exit(3);
    case 6:
      throw std::runtime_error{"hostile"};
    default:
      break;
  }
}

struct step {
  const char* name;
  unsigned weight;
  void (*alone)(random_numbers&);
  void (*against)(random_numbers&, int tester) = nullptr;
};

constexpr step steps[] = {
    {"scribbles", 12, &scribble},
    {"fills all memory", 4, &fill_all},
    {"claims others' calls", 8, &claim_others},
    {"forges an answer", 12, &forge_answer},
    {"replays", 6, &replay},
    {"forges packets", 8, &forge_packets},
    {"overfills events", 4, &overfill_events},
    {"changes memory", 4, &change_memory},
    {"shuts sockets", 4, &shut_sockets},
    {"closes descriptors", 6, &close_descriptors},
    {"exhausts descriptors", 4, &exhaust_descriptors},
    {"changes signals", 6, &change_signals},
    {"leaves a context", 4, &leave_a_context},
    {"leaves a thread", 4, &leave_a_thread},
    {"forks, both go on", 4, &fork_both_go_on},
    {"leaves a child", 4, &leave_a_child},
    {"kills the zygote", 2, nullptr, &kill_zygote},
    {"stops the zygote", 1, nullptr, &stop_zygote},
    {"disturbs the zygote", 2, nullptr, &disturb_zygote},
    {"kills a sibling", 4, nullptr, &kill_a_sibling},
};

const step& choose(random_numbers& random) {
  unsigned total = 0;
  for (const step& s : steps) total += s.weight;
  unsigned at = static_cast<unsigned>(random() % total);
  for (const step& s : steps) {
    if (at < s.weight) return s;
    at -= s.weight;
  }
  return steps[0];
}

bool ends_the_zygote(const step& s) {
  return s.against == &kill_zygote || s.against == &disturb_zygote;
}

/// What is to be done is chosen first: what a step finds does not change those that follow.
std::vector<const step*> plan(unsigned seed, random_numbers& random) {
  std::vector<const step*> chosen;
  for (auto n = 1 + random() % 3; n != 0;) {
    const step& s = choose(random);
    if (ends_the_zygote(s) && spares_the_zygote(seed)) continue;
    chosen.push_back(&s);
    --n;
  }
  return chosen;
}

}  // namespace

bool spares_the_zygote(unsigned seed) noexcept { return seed % 2 == 0; }

std::vector<int> marked_processes() {
  std::vector<int> pids;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0 && pid != ::getpid() && is_marked(pid)) pids.push_back(pid);
  }
  return pids;
}

void deny_calls() {
  constexpr std::uint64_t posted = 1;
  for_each_claim([](volatile std::uint64_t& claim) { claim = (claim & ~state_of_claim) | posted; });
}

int attack(unsigned seed, int tester) {
  random_numbers random{seed};
  for (const step* s : plan(seed, random)) {
    s->alone != nullptr ? s->alone(random) : s->against(random, tester);
  }
  end_the_call(random);
  return static_cast<int>(seed);
}

std::string describe_attack(unsigned seed) {
  random_numbers random{seed};
  std::string text;
  for (const step* s : plan(seed, random)) text += std::string{text.empty() ? "" : ", "} + s->name;
  return text;
}

}  // namespace cadre::test
