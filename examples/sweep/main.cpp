// SPDX-License-Identifier: MIT
// A parameter sweep that may be interrupted at any moment and goes on where it was: an oscillator, for
// each pair of a damping and a frequency, on the executor that one word of the command line names.
//
//     sweep threads:4 results.csv [N]      N x N points, by default 20; processes:4 works as well
#include <cadre/cadre.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

using namespace std::chrono_literals;

namespace {

struct point {
  double damping;
  double frequency;
  double step = 0.03;
};

struct result {
  double settling_time;  // from when on the amplitude is below a thousandth
  double step;
};

/// The amplitude grows: the step is too large for the frequency, or the damping is negative.
struct diverged : std::runtime_error {
  explicit diverged(double at)
      : std::runtime_error{"the integration diverges with a step of " + std::to_string(at)},
        step{at} {}
  double step;
};

[[maybe_unused]] const bool registered = cadre::register_exception<diverged>(
    [](cadre::encoder& out, const diverged& e) { cadre::encode(out, e.step); },
    [](cadre::decoder& in) { return diverged{cadre::decode<double>(in)}; });

/// x'' + 2 damping frequency x' + frequency^2 x = 0 from x = 1, v = 0, by the method of Runge and
/// Kutta. Every attempt that cadre::retry makes is given the same object: each leaves half its step.
result settle(std::stop_token stop, point& p) {
  const double h = std::exchange(p.step, p.step / 2);
  const auto accelerate = [&p](double x, double v) {
    return -2 * p.damping * p.frequency * v - p.frequency * p.frequency * x;
  };
  double x = 1, v = 0, settled = 0;
  for (long i = 1; i <= static_cast<long>(1000 / h); ++i) {
    const double v1 = v, a1 = accelerate(x, v);
    const double v2 = v + h / 2 * a1, a2 = accelerate(x + h / 2 * v1, v2);
    const double v3 = v + h / 2 * a2, a3 = accelerate(x + h / 2 * v2, v3);
    const double v4 = v + h * a3, a4 = accelerate(x + h * v3, v4);
    x += h / 6 * (v1 + 2 * v2 + 2 * v3 + v4);
    v += h / 6 * (a1 + 2 * a2 + 2 * a3 + a4);
    const double amplitude = std::hypot(x, v / p.frequency);
    if (!(amplitude < 10)) throw diverged{h};
    if (amplitude > 1e-3) settled = static_cast<double>(i) * h;
    if (i % 1000 == 0 && stop.stop_requested()) throw std::runtime_error{"interrupted"};
  }
  return {settled, h};
}

struct grid {
  std::size_t side;

  std::size_t size() const { return side * side; }
  point at(std::size_t number) const {
    const double steps = static_cast<double>(side - 1);
    // The first row oscillates more and more; the last column needs a smaller step than the first.
    return {-0.05 + 1.05 * static_cast<double>(number / side) / steps,
            0.5 * std::pow(200, static_cast<double>(number % side) / steps)};
  }
  /// How the row of a point begins in the file.
  std::string key(std::size_t number) const {
    const point p = at(number);
    std::ostringstream text;
    text << number << ',' << p.damping << ',' << p.frequency << ',';
    return text.str();
  }
};

/// The rows that are complete, and only these, whatever ended the programs that wrote them.
class results_file {
 public:
  results_file(std::string path, const grid& all)
      : path_{std::move(path)},
        descriptor_{::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)} {
    if (descriptor_ < 0) fail("open");
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) fail("lock, since another sweep may use it,");
    std::ifstream in{path_};
    std::string text{std::istreambuf_iterator<char>{in}, {}};
    const std::size_t complete = text.rfind('\n') + 1;  // 0 if there is no line
    if (complete == 0 ? !header.starts_with(text) : !text.starts_with(header)) refuse(1);
    text.resize(complete);
    std::istringstream lines{text};
    std::string line;
    std::getline(lines, line);  // the header
    for (std::size_t count = 2; std::getline(lines, line); ++count) {
      std::size_t number = all.size();
      std::from_chars(line.data(), line.data() + line.size(), number);
      if (number >= all.size() || !line.starts_with(all.key(number))) refuse(count);
      present_.insert(number);
    }
    // Nothing is changed before all of it is known to be ours.
    if (::ftruncate(descriptor_, static_cast<off_t>(complete)) != 0) fail("shorten");
    if (complete == 0) append(header);
  }
  ~results_file() { ::close(descriptor_); }
  results_file(const results_file&) = delete;
  results_file& operator=(const results_file&) = delete;

  const std::set<std::size_t>& present() const { return present_; }
  /// With a newline at its end. In one write(): what comes after it cannot take it back.
  void append(std::string_view line) {
    errno = ENOSPC;  // if it writes a part
    const ::ssize_t written = ::write(descriptor_, line.data(), line.size());
    if (written != static_cast<::ssize_t>(line.size())) fail("write");
  }

 private:
  static constexpr std::string_view header = "point,damping,frequency,settling_time,step,outcome\n";

  [[noreturn]] void fail(const std::string& what) const {
    const int error = errno;
    throw std::system_error{error, std::generic_category(), "cannot " + what + " " + path_};
  }
  [[noreturn]] void refuse(std::size_t line) const {
    throw std::runtime_error{path_ + " is not of this sweep, as line " + std::to_string(line) +
                             " shows; name another file, or the size with which it was made"};
  }

  std::string path_;
  int descriptor_;
  std::set<std::size_t> present_;
};

/// Asks for a stop at the first SIGINT, and ends the program at the second one. Made before there is
/// any other thread: all have its signal mask.
class interrupt_watcher {
 public:
  explicit interrupt_watcher(std::stop_source stop) {
    sigset_t interrupts;
    sigemptyset(&interrupts);
    sigaddset(&interrupts, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupts, nullptr);
    thread_ = std::jthread{[stop, interrupts](const std::stop_token& over) mutable {
      for (int signal = 0;;) {
        sigwait(&interrupts, &signal);
        if (over.stop_requested()) return;
        if (!stop.request_stop()) ::_exit(130);
      }
    }};
  }
  ~interrupt_watcher() {
    thread_.request_stop();
    pthread_kill(thread_.native_handle(), SIGINT);
  }

 private:
  std::jthread thread_;
};

/// The rest of the row of a point.
std::string outcome_of(const cadre::future<result>& run, const std::stop_source& stop) {
  std::ostringstream text;
  try {
    const result& r = run.get();
    text << r.settling_time << ',' << r.step << ",settled\n";
  } catch (const diverged& e) {
    if (stop.stop_requested()) throw;  // it may have been kept from further attempts
    text << ',' << e.step << ",diverged\n";
  }
  return text.str();
}

int sweep(cadre::executor& executor, const grid& all, results_file& file, std::stop_source stop) {
  std::cout << file.present().size() << " of " << all.size() << " points are there" << std::endl;
  const auto attempts = cadre::retry<diverged>({.attempts = 3, .first_delay = 1ms}, &settle);
  std::map<std::size_t, cadre::future<result>> runs;
  for (std::size_t number = 0; number < all.size(); ++number) {
    if (file.present().contains(number)) continue;
    runs[number] =
        executor.submit({.name = "point " + std::to_string(number), .stop_token = stop.get_token()},
                        attempts, all.at(number));
  }
  std::size_t computed = 0, failed = 0;
  std::exception_ptr unwritten;
  for (const auto& [number, run] : cadre::as_completed(runs)) {
    try {
      const std::string outcome = outcome_of(run, stop);
      if (unwritten) continue;
      try {
        file.append(all.key(number) + outcome);
        ++computed;
      } catch (...) {  // what runs is of no use any more; the loop goes on until it has stopped
        unwritten = std::current_exception();
        stop.request_stop();
      }
    } catch (const std::exception& e) {  // a worker that died, say; the next sweep tries again
      if (!stop.stop_requested()) std::cerr << "point " << number << ": " << e.what() << '\n';
      ++failed;
    }
  }
  if (unwritten) std::rethrow_exception(unwritten);
  std::cout << computed << " points computed, " << failed << " missing" << std::endl;
  return stop.stop_requested() ? 130 : failed != 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  // Not on the stack, where g++ 12 takes it for uninitialised.
  const auto stop = std::make_unique<std::stop_source>();
  const interrupt_watcher watcher{*stop};
  try {
    const std::string_view side = argc == 4 ? argv[3] : "20";
    grid all{0};
    const auto [end, error] = std::from_chars(side.begin(), side.end(), all.side);
    if (argc < 3 || argc > 4 || end != side.end() || all.side < 2 || all.side > 1000) {
      throw std::invalid_argument{"usage: sweep EXECUTOR FILE [N], where N is from 2 to 1000"};
    }
    results_file file{argv[2], all};
    return sweep(*cadre::make_executor(argv[1]), all, file, *stop);
  } catch (const std::exception& e) {
    std::cerr << "sweep: " << e.what() << '\n';
    return 2;
  }
}
