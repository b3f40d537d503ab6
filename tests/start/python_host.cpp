// SPDX-License-Identifier: MIT
// A program of the matrix that hosts Python, with threads of its own, and has workers meanwhile.
#include <Python.h>

extern "C" int run();

int main() {
  Py_Initialize();
  PyRun_SimpleString(
      "import threading\n"
      "end = threading.Event()\n"
      "thread = threading.Thread(target=end.wait)\n"
      "thread.start()\n");
  const int result = run();
  PyRun_SimpleString("end.set(); thread.join()");
  return Py_FinalizeEx() == 0 ? result : 5;
}
