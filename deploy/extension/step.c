/* See extension.h. From numbers of Python to an array, through one step. */
#include "extension.h"

enum { NET, OTHERWISE, LAST, OBJECTS };

typedef struct {
    PyObject head;
    const module_state *m;
    const el_model *model;
    el_state *state;
    unsigned long owner; /* if it has one: the only thread that may call it */
    int owned;
    int nd, release; /* of x and y; whether other threads run during a step */
    Py_ssize_t width, y_shape[2];
    el_processing processing; /* without mean: x are features, in float32 */
    double *sample, *last;     /* sample: memory for one */
    void *memory;              /* of the processing and the sample */
    PyObject *object[OBJECTS]; /* whose memory is used; NULL: there is none */
} Step;

static const Net *net_in(const Step *s) { return (const Net *)s->object[NET]; }

static int step_traverse(PyObject *self, visitproc visit, void *with) {
    PyObject **const object = ((Step *)self)->object;
    int found = visit((PyObject *)self->ob_type, with);
    for (int k = 0; k < OBJECTS && !found; k++) found = object[k] ? visit(object[k], with) : 0;
    return found;
}

/* Only this can be part of a cycle. The others own memory that a call uses. */
static int step_clear(PyObject *self) {
    PyObject *const otherwise = ((Step *)self)->object[OTHERWISE];
    ((Step *)self)->object[OTHERWISE] = NULL;
    if (otherwise) Py_DecRef(otherwise);
    return 0;
}

static void step_free(PyObject *self) {
    PyTypeObject *const type = self->ob_type;
    PyObject_GC_UnTrack(self);
    for (int k = 0; k < OBJECTS; k++)
        if (((Step *)self)->object[k]) Py_DecRef(((Step *)self)->object[k]);
    PyMem_Free(((Step *)self)->memory);
    PyObject_GC_Del(self);
    Py_DecRef((PyObject *)type);
}

static const double *copied(double **to, const double *from, Py_ssize_t size) {
    double *const at = memcpy(*to, from, sizeof *from * (size_t)size);
    *to += size;
    return at;
}

/* processing: (missing, mean, std, offset, scale, residual), the last three perhaps None. All of it
 * is copied to one place: a step reads fewer lines of the cache, which the weights have emptied. */
static int read_processing(Step *s, PyObject *processing, PyObject *last) {
    const module_state *const m = s->m;
    const Net *const net = net_in(s);
    const Py_ssize_t outputs = net->outputs;
    el_processing *const p = &s->processing;
    PyObject *given[4], *residual;
    if (processing->ob_type != &PyTuple_Type ||
        !PyArg_ParseTuple(processing, "IOOOOO", &p->missing, &given[0], &given[1], &given[2],
                          &given[3], &residual))
        return 0;
    const double *from[4] = {values_of(m, given[0], m->float64, READABLE, &s->width)};
    const int scaled = given[3] != Py_None, added = residual != Py_None;
    for (int k = 1; from[k - 1] && k < (scaled ? 4 : 2); k++)
        if (!(from[k] = exactly(m, given[k], m->float64, READABLE, k > 1 ? outputs : s->width)))
            return 0;
    const size_t residual_bytes = added ? sizeof(uint32_t) * (size_t)outputs : 0;
    if (!from[0] || s->width < 1 || s->width > (Py_ssize_t)EL_MAX_SIZE ||
        (added && PyBytes_Size(residual) != (Py_ssize_t)residual_bytes))
        return 0;
    const Py_ssize_t size = net->streams * s->width;
    if (!(s->last = exactly(m, last, m->float64, WRITABLE, size))) return 0;
    const size_t doubles = (size_t)(2 * s->width + 2 * outputs + size);
    s->memory = PyMem_Malloc(EL_ALIGNMENT + sizeof(double) * doubles + residual_bytes);
    if (!s->memory) return PyErr_NoMemory() != NULL;
    double *to = aligned_in(s->memory);
    p->channels = (uint32_t)s->width;
    p->mean = copied(&to, from[0], s->width), p->std = copied(&to, from[1], s->width);
    if (scaled) p->offset = copied(&to, from[2], outputs), p->scale = copied(&to, from[3], outputs);
    s->sample = to, to += size;
    if (added) p->residual = memcpy(to, PyBytes_AsString(residual), residual_bytes);
    return 1;
}

/* (net, otherwise, release, batched, last, processing) */
static PyObject *step_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    (void)named;
    const module_state *const m = PyType_GetModuleState(type);
    PyObject *given[OBJECTS], *processing;
    int release, batched;
    if (!PyArg_ParseTuple(args, "O!OppOO", m->net, &given[NET], &given[OTHERWISE], &release,
                          &batched, &given[LAST], &processing))
        return NULL;
    Step *const s = (Step *)PyType_GenericAlloc(type, 0);
    if (!s) return NULL;
    for (int k = 0; k < OBJECTS; k++)
        if (given[k] != Py_None) Py_IncRef(s->object[k] = given[k]);
    const Net *const net = net_in(s);
    s->m = m, s->release = release, s->nd = batched ? 2 : 1;
    s->y_shape[0] = net->streams, s->y_shape[s->nd - 1] = net->outputs;
    s->width = net->inputs, s->model = net->model, s->state = net->state;
    if ((batched || net->streams == 1) &&
        (processing == Py_None || read_processing(s, processing, given[LAST])))
        return (PyObject *)s;
    if (!PyErr_Occurred()) (void)PyErr_Format(PyExc_TypeError, "these do not go together");
    Py_DecRef((PyObject *)s);
    return NULL;
}

/* Numbers in a list or a tuple, if they are floats or integers of 64 bits. */
static const double *listed(Step *s, PyObject *x) {
    const int list = x->ob_type == &PyList_Type;
    if (s->nd != 1 || (!list && x->ob_type != &PyTuple_Type) ||
        (list ? PyList_Size(x) : PyTuple_Size(x)) != s->width)
        return NULL;
    for (Py_ssize_t k = 0; k < s->width; k++) {
        PyObject *const number = list ? PyList_GetItem(x, k) : PyTuple_GetItem(x, k);
        int overflow = 0;
        if (number->ob_type == &PyFloat_Type) s->sample[k] = PyFloat_AsDouble(number);
        else if (number->ob_type == &PyLong_Type)
            s->sample[k] = (double)PyLong_AsLongLongAndOverflow(number, &overflow);
        else return NULL;
        if (overflow) return NULL;
    }
    return s->sample;
}

/* An array of either type, with any strides. */
static const double *gathered(Step *s, const el_array *x) {
    const int wide = x->descr == s->m->float64;
    if (!wide && x->descr != s->m->float32) return NULL;
    const Py_ssize_t rows = s->nd == 2 ? x->dimensions[0] : 1, stride = x->strides[s->nd - 1];
    double *to = s->sample;
    for (Py_ssize_t k = 0; k < rows; k++) {
        const char *from = x->data + (s->nd == 2 ? k * x->strides[0] : 0);
        for (Py_ssize_t j = 0; j < s->width; j++, from += stride, to++) {
            float narrow;
            if (wide) memcpy(to, from, sizeof *to);
            else memcpy(&narrow, from, sizeof narrow), *to = (double)narrow;
        }
    }
    return s->sample;
}

/* The numbers of a sample or of features. NULL: they are of a kind that is not known here. */
static const void *numbers_in(Step *s, PyObject *x) {
    const int raw = s->processing.mean != NULL;
    if (!is_array(s->m, x)) return raw ? listed(s, x) : NULL;
    const el_array *const a = (const el_array *)x;
    if (a->nd != s->nd || a->dimensions[a->nd - 1] != s->width ||
        (a->nd == 2 && a->dimensions[0] != s->y_shape[0]))
        return NULL;
    if ((a->flags & READABLE) == READABLE && a->descr == (raw ? s->m->float64 : s->m->float32))
        return a->data;
    return raw ? gathered(s, a) : NULL;
}

static int takes_answer(const Step *s, const PyObject *out) {
    const el_array *const a = (const el_array *)out;
    return is_array(s->m, out) && a->descr == s->m->float32 && (a->flags & WRITABLE) == WRITABLE &&
           a->nd == s->nd && a->dimensions[0] == s->y_shape[0] &&
           a->dimensions[s->nd - 1] == s->y_shape[s->nd - 1];
}

static el_status advance(Step *s, const void *x, float *y) {
    return s->processing.mean ? el_answer(&s->processing, s->model, s->state, x, s->last, y)
                              : el_run(s->model, s->state, x, 1, y);
}

/* The answer of the fast way, a new reference. NULL without an error: it has none. */
static PyObject *fast(Step *s, PyObject *sample, PyObject *out) {
    if (s->owned && s->owner != PyThread_get_thread_ident()) return NULL;
    const void *const x = numbers_in(s, sample);
    if (!x || (out && !takes_answer(s, out))) return NULL;
    if (out) Py_IncRef(out);
    else {
        Py_IncRef(s->m->float32); /* NumPy takes it */
        out = s->m->new_array(s->m->array, s->m->float32, s->nd, s->y_shape, NULL, NULL, 0, NULL);
        if (!out) return NULL;
    }
    float *const y = (float *)(void *)((el_array *)out)->data;
    PyThreadState *const thread = s->release ? PyEval_SaveThread() : NULL;
    const el_status status = advance(s, x, y);
    if (thread) PyEval_RestoreThread(thread);
    if (status == EL_OK) return out;
    Py_DecRef(out);
    return NULL;
}

/* Call `otherwise` with the same arguments. */
static PyObject *pass_on(const Step *s, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    const Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    PyObject *const otherwise = s->object[OTHERWISE];
    PyObject *const given = PyTuple_New(count), *const keywords = named ? PyDict_New() : NULL;
    PyObject *answer = NULL;
    int good = given && (!named || keywords);
    for (Py_ssize_t k = 0; good && k < count; k++) {
        Py_IncRef(args[k]);
        good = !PyTuple_SetItem(given, k, args[k]);
    }
    for (Py_ssize_t k = 0; good && k < named; k++)
        good = !PyDict_SetItem(keywords, PyTuple_GetItem(names, k), args[count + k]);
    if (good) answer = PyObject_Call(otherwise, given, keywords);
    if (given) Py_DecRef(given);
    if (keywords) Py_DecRef(keywords);
    return answer;
}

/* Is `out` the only name? */
static int out_alone(const module_state *m, PyObject *names) {
    if (PyTuple_Size(names) != 1) return 0;
    PyObject *const name = PyTuple_GetItem(names, 0);
    return name == m->out || !PyUnicode_CompareWithASCIIString(name, "out");
}

static PyObject *step_call(PyObject *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *names) {
    Step *const s = (Step *)self;
    PyObject *answer = NULL;
    if (count == 1 && (!names || out_alone(s->m, names)))
        answer = fast(s, args[0], names && args[1] != Py_None ? args[1] : NULL);
    if (answer || PyErr_Occurred()) return answer;
    if (s->object[OTHERWISE]) return pass_on(s, args, count, names);
    Py_IncRef(Py_None);
    return Py_None;
}

/* (samples, answers) -> how many rows are done */
static PyObject *step_rows(PyObject *self, PyObject *args) {
    Step *const s = (Step *)self;
    const Net *const net = net_in(s);
    const Py_ssize_t in = net->streams * s->width, out = net->streams * net->outputs;
    Py_ssize_t size = 0;
    size_t done = 0;
    PyObject *xs, *ys;
    if (!s->processing.mean) return PyErr_Format(PyExc_TypeError, "this step takes features");
    if (!PyArg_ParseTuple(args, "OO", &xs, &ys)) return NULL;
    const double *const x = values_of(s->m, xs, s->m->float64, READABLE, &size);
    float *const y = x ? exactly(s->m, ys, s->m->float32, WRITABLE, size / in * out) : NULL;
    if (!y) return NULL;
    const el_bound bound = {net->model, net->state, NULL, &s->processing, s->last};
    PyThreadState *const thread = PyEval_SaveThread();
    (void)el_answer_rows(&bound, x, (size_t)(size / in), y, &done); /* a refused row ends it */
    PyEval_RestoreThread(thread);
    return PyLong_FromSsize_t((Py_ssize_t)done);
}

static PyObject *step_own(PyObject *self, PyObject *args) {
    Step *const s = (Step *)self;
    if (!PyArg_ParseTuple(args, "k", &s->owner)) return NULL;
    s->owned = 1;
    Py_IncRef(Py_None);
    return Py_None;
}

static PyMethodDef step_methods[] = {
    {"step", (PyCFunction)(void (*)(void))step_call, METH_FASTCALL | METH_KEYWORDS,
     "step($self, x, *, out=None)\n--\n\nSee Session.step, which this is, only faster."},
    {"own", step_own, METH_VARARGS, NULL},
    {"rows", step_rows, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};
static PyType_Slot step_slots[] = {{Py_tp_new, (void *)step_new},
                                   {Py_tp_dealloc, (void *)step_free},
                                   {Py_tp_traverse, (void *)step_traverse},
                                   {Py_tp_clear, (void *)step_clear},
                                   {Py_tp_methods, step_methods},
                                   {0, NULL}};
PyType_Spec step_spec = {"edge_lstm_runtime.native.Step", sizeof(Step), 0,
                                Py_TPFLAGS_HAVE_GC, step_slots};
