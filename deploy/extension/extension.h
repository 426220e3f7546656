/* The kernel as a Python module, by the stable ABI: one file for Python 3.10 and all later ones.
 *
 * A Net is a model and the states of its streams (net.c). A Step is a way to call it, from Python's
 * numbers to an array (step.c). What a Step does not know goes on to `otherwise`, a function of
 * Python, which answers or raises. So the fast way has no rules and messages of its own.
 * native/_kernel.pyi has the types.
 */
#ifndef EL_EXTENSION_H
#define EL_EXTENSION_H

#include "edge_lstm.h"
#include "python_abi.h"

#include <string.h>

/* ndarray, the type of its values, axes, their lengths; no strides, memory, flags and template */
typedef PyObject *new_array(PyObject *, PyObject *, int, const Py_ssize_t *, const Py_ssize_t *,
                            void *, int, PyObject *);

/* What lives as long as the process, as NumPy does. */
typedef struct {
    new_array *new_array;
    PyObject *array, *float32, *float64, *error, *net, *out; /* out: the name */
} module_state;

enum { READABLE = EL_CONTIGUOUS | EL_ALIGNED, WRITABLE = READABLE | EL_WRITEABLE };

typedef struct {
    PyObject head;
    const module_state *m;
    void *memory[2]; /* that the model and the state lie in */
    el_model *model;
    el_state *state;
    Py_ssize_t bytes, streams, inputs, outputs, values; /* bytes: of the model */
} Net;

extern PyType_Spec net_spec, step_spec;

static inline int is_array(const module_state *m, const PyObject *object) {
    return (const PyObject *)object->ob_type == m->array;
}

static inline void *aligned_in(void *memory) {
    return (char *)memory + (-(uintptr_t)memory & (EL_ALIGNMENT - 1));
}

/* Raise BackendError: a function of the library answered this. */
PyObject *fail(const module_state *m, const char *function, el_status status);

/* The values of an array that lies in memory as C has it. *size: how many. NULL with a TypeError
 * for anything else. */
void *values_of(const module_state *m, PyObject *object, const PyObject *descr, int flags,
                Py_ssize_t *size);

/* The same for an array of so many values. */
void *exactly(const module_state *m, PyObject *object, const PyObject *descr, int flags,
              Py_ssize_t expected);

/* A bytes object of el_layer -> the network's layers. 0 with a TypeError: it is none. */
int read_layers(PyObject *layers, el_network *network);

#endif
